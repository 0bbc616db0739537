//! Keeps what serves requests in line with what is stored.
//!
//! A change is committed first and then read back. If reading back fails, the tenant answers 503 until a
//! later attempt succeeds: what was revoked, suspended or deleted never goes on being served because of a
//! failure.

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

/// Tenants that are read with one question.
pub(super) const READ_AT_ONCE: usize = 64;

/// How a refresh treats versions that could not be served so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RetryFailed {
    /// They stay unavailable.
    No,
    /// They are tried once more.
    Yes,
}

/// How closely the files of a version are looked at before it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileCheck {
    /// Only checks that they exist: loading every component would make a start slow.
    Exist,
    /// Loads the component.
    Load,
}

impl Lifecycle {
    /// Serves a tenant as it is stored now. To be called after every change to a tenant before its
    /// caller is answered: what was revoked does not serve any more then. If what is stored cannot
    /// be read, the tenant answers 503 until the host has read it, which it tries again by itself.
    pub async fn refresh(&self, tenant: TenantId) {
        self.read_again(tenant, RetryFailed::No).await;
    }

    /// Serves all tenants as they are stored. One that cannot be read answers 503, and the others
    /// are served.
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

    /// Reads tenants with one question. If that fails, each is asked for alone, so that what is
    /// damaged of one stops only that one.
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

    /// What serves a tenant when the host starts.
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

    /// The tenants whose rows can be listed, and whether there is news of rows that belong to none
    /// of them.
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

    /// Reads those again that could not be read or served, however often that failed.
    pub async fn retry(&self) {
        let mut tenants: BTreeSet<TenantId> = self.failing.tenants().into_iter().collect();
        let routed = self.routing.all();
        let ailing = |tenant: &&Arc<TenantRoutes>| tenant.problem.is_some() || !tenant.unavailable.is_empty();
        tenants.extend(routed.iter().filter(ailing).map(|tenant| tenant.id));
        tenants.extend(self.problems.tenants());
        if self.problems.has_unowned() {
            match self.read_list().await {
                // A row that is whole again may be of any of them.
                Ok((listed, true)) => tenants.extend(listed.into_iter().map(|tenant| tenant.id)),
                Ok((_, false)) => {}
                Err(error) => tracing::warn!(%error, "the tenants cannot be listed; the host tries again"),
            }
        }
        for tenant in tenants {
            self.refresh_failed(tenant).await;
        }
    }

    /// Reads a tenant again, with the versions that could not be served so far.
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

    /// Answers 503 for a tenant that cannot be read. Said once for each reason.
    pub(super) fn out_of_service(&self, tenant: TenantId, error: &LifecycleError) {
        let reason = with_causes(error);
        let known = self.routing.tenant_by_id(tenant);
        if known.is_some_and(|known| known.problem.as_ref() == Some(&reason)) {
            return;
        }
        tracing::error!(%tenant, %reason, "a tenant cannot be read and answers 503; the host tries again");
        self.routing.tenant_fails(tenant, &reason);
    }

    /// Reads a tenant under its lock and swaps its snapshot. The routes of versions that have none yet are
    /// made without the lock, and then the tenant is read once more.
    async fn read_back(
        &self,
        tenant: TenantId,
        mut routes: Routes,
        mut again: RetryFailed,
    ) -> Result<(), LifecycleError> {
        loop {
            let built = {
                let _turn = self.changes.lock(tenant).await;
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
            // What was tried again is in `routes` now.
            again = RetryFailed::No;
        }
    }

    /// Reads a tenant. The caller holds the tenant's `changes` lock, or no request is served yet.
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

    /// Builds what serves a tenant. Its keys change one by one with [`Self::add_api_key`] and
    /// [`Self::revoke_api_key`], and are read only if changes are missing.
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

    /// Serves a tenant as it was just read, under the tenant's `changes` lock. Whether routes of
    /// versions are still to be made for it, with [`Self::refresh`] and without the lock.
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

    /// The routes of a version whose files may be missing or damaged, or which this host may refuse.
    async fn make(&self, version: &Version, files: FileCheck) -> Result<Arc<Router>, Unavailable> {
        let digest = version.digest;
        let failed = |error: BuildError| Unavailable::failed(Some(digest), error.reason());
        let refusal = self.runtime.refusal(digest).await;
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
                let compiled = self.runtime.compiled_size(digest).await;
                if compiled
                    .map_err(|error| failed(LoadError::from(error).into()))?
                    .is_none()
                {
                    // It has to be compiled again, for which the component has to be whole.
                    let component = self.runtime.component(digest).await;
                    component.map_err(|error| failed(error.into()))?;
                }
            }
        }
        let router = self.builder.router(version).await;
        router.map(Arc::new).map_err(failed)
    }
}
