//! Reads tenants from the database and serves them.
//!
//! A change is committed first and then read back. If that fails, the tenant answers 503 until a
//! later attempt succeeds. So a failure never keeps something revoked, suspended or deleted in
//! service.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Lifecycle, LifecycleError};
use crate::causes::with_causes;
use crate::components::LoadError;
use crate::domain::id::{TenantId, VersionDigest};
use crate::domain::plugin::Version;
use crate::storage::{DbError, ListedTenant, RoutedTenant, RoutedTenants};
use crate::tenants::{BuildError, Built, Cause, Router, TenantRoutes, Unavailable};

/// Routes of versions, or why a version has none.
pub(super) type Routes = HashMap<VersionDigest, Result<Arc<Router>, Unavailable>>;

/// Tenants per query.
pub(super) const READ_AT_ONCE: usize = 64;

/// Whether a refresh tries failed versions again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryFailed {
    /// Failed versions stay unavailable.
    No,
    /// Failed versions are tried again.
    Yes,
}

/// How thoroughly the files of a version are checked before it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileCheck {
    /// Checks that they exist. Loading every component would make a start slow.
    Exist,
    /// Loads the component.
    Load,
}

impl Lifecycle {
    /// Serves the stored state of a tenant. Call it after every change, before the response, so
    /// that revoked rights end at once. If the state cannot be read, the tenant answers 503, and
    /// the host retries by itself.
    pub async fn refresh(&self, tenant: TenantId) {
        self.read_again(tenant, RetryFailed::No).await;
    }

    /// Serves the stored state of all tenants. A tenant that cannot be read answers 503.
    pub async fn refresh_all(&self) -> Result<(), LifecycleError> {
        for some in self.read_list().await?.0.chunks(READ_AT_ONCE) {
            let ids: Vec<TenantId> = some.iter().map(|tenant| tenant.id).collect();
            let mut read = self.read_many(&ids).await;
            for ListedTenant { id, name, .. } in some {
                let served = match read.remove(id) {
                    Some(Ok(stored)) => self.first_build(stored).await,
                    Some(Err(error)) => Err(error),
                    None => continue,
                };
                self.routing.put(served.unwrap_or_else(|error| {
                    let reason = with_causes(&LifecycleError::from(error));
                    tracing::error!(tenant = %name, %reason, "a tenant cannot be read and answers 503");
                    self.failing.failed(*id, self.clock.now());
                    self.builder.unreadable(*id, name.clone(), reason)
                }));
            }
        }
        Ok(())
    }

    /// Reads tenants with one query. If it fails, each tenant is read alone, so that damaged data
    /// of one stops only that tenant.
    pub(super) async fn read_many(&self, tenants: &[TenantId]) -> RoutedTenants {
        if let Ok(read) = self.db.routed_tenants(tenants).await {
            return read;
        }
        let mut read = RoutedTenants::new();
        for tenant in tenants {
            if let Some(found) = self.db.routed_tenant(*tenant).await.transpose() {
                read.insert(*tenant, found);
            }
        }
        read
    }

    /// Builds the routes of a tenant when the host starts.
    async fn first_build(&self, stored: RoutedTenant) -> Result<TenantRoutes, DbError> {
        let mut routes = Routes::new();
        loop {
            let built = self.build(stored.clone(), &routes, RetryFailed::Yes).await?;
            if built.missing.is_empty() {
                return Ok(built.tenant);
            }
            self.make_routes(&built, &mut routes, FileCheck::Exist).await;
        }
    }

    /// The tenants whose rows can be read, and whether the list of rows without a readable tenant
    /// changed.
    async fn read_list(&self) -> Result<(Vec<ListedTenant>, bool), LifecycleError> {
        let mut unowned = self.db.orphans().await?;
        let mut tenants = Vec::new();
        for listed in self.db.listed_tenants().await? {
            match listed {
                Ok(listed) => tenants.push(listed),
                Err(error) => unowned.push(format!("table tenants: {error}")),
            }
        }
        Ok((tenants, self.problems.set_unowned(unowned)))
    }

    /// Reads all failed and unavailable tenants again, however often they failed.
    pub async fn retry(&self) {
        let mut tenants: BTreeSet<TenantId> = self.failing.tenants().into_iter().collect();
        let routed = self.routing.all();
        let is_unavailable =
            |tenant: &&Arc<TenantRoutes>| tenant.problem.is_some() || !tenant.unavailable.is_empty();
        tenants.extend(routed.iter().filter(is_unavailable).map(|tenant| tenant.id));
        tenants.extend(self.problems.tenants());
        if self.problems.has_unowned() {
            match self.read_list().await {
                // A repaired row may belong to any tenant.
                Ok((listed, true)) => tenants.extend(listed.into_iter().map(|tenant| tenant.id)),
                Ok((_, false)) => {}
                Err(error) => tracing::warn!(%error, "the tenants cannot be listed; the host tries again"),
            }
        }
        for tenant in tenants {
            self.refresh_failed(tenant).await;
        }
    }

    /// Reads a tenant again and tries its failed versions again.
    pub(super) async fn refresh_failed(&self, tenant: TenantId) {
        self.read_again(tenant, RetryFailed::Yes).await;
    }

    async fn read_again(&self, tenant: TenantId, again: RetryFailed) {
        match self.read_back(tenant, Routes::new(), again).await {
            Ok(()) => self.failing.clear(tenant),
            Err(error) => {
                self.failing.failed(tenant, self.clock.now());
                self.out_of_service(tenant, &error);
            }
        }
    }

    /// Stops serving a tenant that was deleted.
    pub(super) fn stop_serving(&self, tenant: TenantId) {
        self.routing.remove(tenant);
        self.problems.clear(tenant);
        self.failing.clear(tenant);
        self.unreadable_secrets.clear(tenant);
        self.services.caches.forget_tenant(tenant);
        self.services.http.forget_tenant(tenant);
    }

    /// Answers 503 for a tenant that cannot be read. Each reason is logged once.
    pub(super) fn out_of_service(&self, tenant: TenantId, error: &LifecycleError) {
        let reason = with_causes(error);
        let known = self.routing.tenant_by_id(tenant);
        if known.is_some_and(|known| known.problem.as_ref() == Some(&reason)) {
            return;
        }
        tracing::error!(%tenant, %reason, "a tenant cannot be read and answers 503; the host tries again");
        self.routing.tenant_fails(tenant, &reason);
    }

    /// Reads a tenant under its lock and swaps its snapshot. Missing routes are built without the
    /// lock, and then the tenant is read once more.
    async fn read_back(
        &self,
        tenant: TenantId,
        mut routes: Routes,
        mut again: RetryFailed,
    ) -> Result<(), LifecycleError> {
        loop {
            let built = {
                let _lock = self.changes.lock(tenant).await;
                let Some(built) = self.read(tenant, &routes, again).await? else {
                    self.stop_serving(tenant);
                    return Ok(());
                };
                self.routing.put(built.tenant.clone());
                built
            };
            if built.missing.is_empty() {
                return Ok(());
            }
            self.make_routes(&built, &mut routes, FileCheck::Load).await;
            // The results of the new attempts are in `routes`.
            again = RetryFailed::No;
        }
    }

    /// Reads a tenant. The caller holds the tenant's `changes` lock, or the host is starting.
    async fn read(
        &self,
        tenant: TenantId,
        routes: &Routes,
        again: RetryFailed,
    ) -> Result<Option<Built>, LifecycleError> {
        match self.db.routed_tenant(tenant).await? {
            Some(stored) => Ok(Some(self.build(stored, routes, again).await?)),
            None => Ok(None),
        }
    }

    /// Builds the snapshot of a tenant. API keys are usually changed one by one
    /// ([`Self::add_api_key`], [`Self::revoke_api_key`]); they are read here only if a change was
    /// missed.
    async fn build(
        &self,
        stored: RoutedTenant,
        routes: &Routes,
        again: RetryFailed,
    ) -> Result<Built, DbError> {
        let (id, keys) = (stored.tenant.id, stored.generations.keys);
        let known = self.routing.tenant_by_id(id);
        let api_keys = known
            .as_ref()
            .map(|known| known.api_keys.clone())
            .unwrap_or_default();
        if known.is_none() || api_keys.generation() != keys {
            let valid = self.db.valid_api_keys(id, self.clock.now()).await?;
            api_keys.replace(valid, keys);
        }
        self.problems.set(id, &stored.problems);
        self.note_unreadable_secrets(&stored);
        let failed = |digest: VersionDigest| {
            let unavailable = known.as_ref()?.unavailable.values();
            let failed = unavailable
                .filter(|_| again == RetryFailed::No)
                .find(|failed| failed.digest == Some(digest) && failed.cause != Cause::Preparing);
            failed.map(|failed| Err(failed.clone()))
        };
        Ok(self.builder.tenant(stored, api_keys, known.as_deref(), |digest| {
            let made = routes.get(&digest).cloned();
            made.or_else(|| self.prepared.get(id, digest).map(Ok))
                .or_else(|| failed(digest))
        }))
    }

    /// Serves a tenant that was just read, under its `changes` lock. Returns whether routes of
    /// versions are missing; [`Self::refresh`] builds them without the lock.
    pub(super) async fn serve(&self, stored: RoutedTenant) -> Result<bool, DbError> {
        let built = self.build(stored, &Routes::new(), RetryFailed::No).await?;
        self.routing.put(built.tenant);
        Ok(!built.missing.is_empty())
    }

    async fn make_routes(&self, built: &Built, routes: &mut Routes, files: FileCheck) {
        for version in &built.missing {
            let made = self.make(version, files).await.inspect_err(|unavailable| {
                let (tenant, plugin) = (&built.tenant.name, &version.manifest.plugin.name);
                let reason = &unavailable.reason;
                tracing::error!(%tenant, %plugin, version = %version.digest, %reason, "a plugin cannot be served");
            });
            routes.insert(version.digest, made);
        }
    }

    /// Builds the routes of a version. Its files may be missing or damaged, or this host may refuse
    /// it.
    async fn make(&self, version: &Version, files: FileCheck) -> Result<Arc<Router>, Unavailable> {
        let digest = version.digest;
        let failed = |error: BuildError| Unavailable::failed(Some(digest), error.reason());
        let refusal = self.runtime.components().refusal(digest).await;
        if let Some(refusal) = refusal.map_err(|error| failed(LoadError::from(error).into()))? {
            return Err(Unavailable::refused(digest, refusal.message.clone()));
        }
        match files {
            FileCheck::Load => match self.runtime.load(digest).await {
                Err(LoadError::Refused(refusal)) => {
                    return Err(Unavailable::refused(digest, refusal.message.clone()));
                }
                loaded => drop(loaded.map_err(|error| failed(error.into()))?),
            },
            FileCheck::Exist => {
                let compiled = self.runtime.components().compiled_size(digest).await;
                if compiled
                    .map_err(|error| failed(LoadError::from(error).into()))?
                    .is_none()
                {
                    // The version must be compiled again, which needs an intact component.
                    let component = self.runtime.components().source(digest).await;
                    component.map_err(|error| failed(error.into()))?;
                }
            }
        }
        let router = self.builder.router(version).await;
        router.map(Arc::new).map_err(failed)
    }
}
