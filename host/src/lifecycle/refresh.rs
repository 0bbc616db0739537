//! Keeps what serves requests in line with what is stored.
//!
//! A change is committed first and then read back. If reading back fails, the tenant answers 503 until a
//! later attempt succeeds: what was revoked, suspended or deleted never goes on being served because of a
//! failure.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Lifecycle, LifecycleError};
use crate::causes::with_causes;
use crate::components::LoadError;
use crate::domain::id::{TenantId, TenantName, VersionDigest};
use crate::domain::limits::Limits;
use crate::domain::plugin::Version;
use crate::domain::resource::Resource;
use crate::domain::tenant::Tenant;
use crate::storage::RoutedTenant;
use crate::tenants::{ApiKeys, BuildError, Built, Cause, Router, TenantRoutes, Unavailable};

/// Routes of versions, or why a version has none.
pub(super) type Routes = HashMap<VersionDigest, Result<Arc<Router>, Unavailable>>;

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
    /// Serves a tenant as it is stored now. To be called after every change to a tenant: its plan, its
    /// grants, its settings, its secrets, its keys. If what is stored cannot be read, the tenant answers 503
    /// until the host has read it, which it tries again by itself.
    pub async fn refresh(&self, tenant: TenantId) {
        if let Err(error) = self.read_back(tenant, Routes::new(), RetryFailed::No).await {
            self.out_of_service(tenant, &error);
            self.stale.add(tenant);
        }
    }

    /// Refreshes several tenants at once, after a change that revokes nothing (of a plan, for instance). It
    /// takes the
    /// `changes` locks of all of them, so `tenants` must be sorted by id. A tenant that cannot be read is served as before
    /// and read again later.
    pub async fn refresh_many(&self, tenants: &[TenantId]) {
        let (mut turns, mut read) = (Vec::new(), Vec::new());
        for tenant in tenants {
            turns.push(self.changes.lock(*tenant).await);
            match self.read(*tenant, &Routes::new(), RetryFailed::No).await {
                Ok(Some(built)) => {
                    if !built.missing.is_empty() {
                        self.stale.add(*tenant);
                    }
                    read.push(built.tenant);
                }
                Ok(None) => self.stop_serving(*tenant),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, %tenant, "a tenant cannot be read; the host tries again");
                    self.stale.add(*tenant);
                }
            }
        }
        self.routing.put(read);
    }

    /// Serves all tenants as they are stored. One that cannot be read answers 503, and the others are served.
    pub async fn refresh_all(&self) -> Result<(), LifecycleError> {
        let mut tenants = Vec::new();
        for (id, name) in self.read_names().await?.0 {
            tenants.push(self.first_read(id, name).await);
        }
        self.routing.put(tenants);
        Ok(())
    }

    /// The tenants whose names can be read, and whether there is news of rows that belong to none of them.
    async fn read_names(&self) -> Result<(Vec<(TenantId, TenantName)>, bool), LifecycleError> {
        let mut unowned = self.db.orphans().await?;
        let mut names = Vec::new();
        for known in self.db.tenant_names().await? {
            match known {
                Ok(known) => names.push(known),
                Err(error) => unowned.push(format!("table tenants: {error}")),
            }
        }
        Ok((names, self.problems.set_unowned(unowned)))
    }

    /// Reads those again that could not be read or served, and those whose refresh failed.
    pub async fn retry(&self) {
        let mut tenants = self.stale.take();
        let routed = self.routing.all();
        let ailing = |tenant: &&Arc<TenantRoutes>| tenant.problem.is_some() || !tenant.unavailable.is_empty();
        tenants.extend(routed.iter().filter(ailing).map(|tenant| tenant.id));
        tenants.extend(self.problems.tenants());
        if self.problems.has_unowned() {
            match self.read_names().await {
                // A row that is whole again may be of any of them.
                Ok((names, true)) => tenants.extend(names.into_iter().map(|(id, _)| id)),
                Ok((_, false)) => {}
                Err(error) => tracing::warn!(%error, "the tenants cannot be listed; the host tries again"),
            }
        }
        for tenant in tenants {
            self.refresh_failed(tenant).await;
        }
    }

    /// Reads a tenant again, with the versions that could not be served so far. What fails is tried again
    /// with the next round, not at once.
    pub(super) async fn refresh_failed(&self, tenant: TenantId) {
        if let Err(error) = self.read_back(tenant, Routes::new(), RetryFailed::Yes).await {
            self.out_of_service(tenant, &error);
            self.stale.keep(tenant);
        }
    }

    /// The limits of a tenant.
    pub async fn limits(&self, tenant: &Tenant) -> Result<Limits, LifecycleError> {
        let plan = self.db.plan(&tenant.plan).await?;
        let plan = plan.ok_or(LifecycleError::NotFound(Resource::Plan))?;
        Ok(self.builder.limits(tenant, &plan))
    }

    /// Stops serving a tenant that was deleted.
    pub(super) fn stop_serving(&self, tenant: TenantId) {
        self.routing.remove(tenant);
        self.problems.clear(tenant);
        self.unreadable_secrets.clear(tenant);
        self.services.caches.forget_tenant(tenant);
        self.services.http.forget_tenant(tenant);
    }

    /// Answers 503 for a tenant that cannot be read. Said once for each reason.
    fn out_of_service(&self, tenant: TenantId, error: &LifecycleError) {
        let reason = with_causes(error);
        let known = self.routing.tenant_by_id(tenant);
        if known.is_some_and(|known| known.problem.as_ref() == Some(&reason)) {
            return;
        }
        tracing::error!(%tenant, %reason, "a tenant cannot be read and answers 503; the host tries again");
        self.routing.tenant_fails(tenant, &reason);
    }

    async fn first_read(&self, id: TenantId, name: TenantName) -> TenantRoutes {
        let mut routes = Routes::new();
        loop {
            match self.read(id, &routes, RetryFailed::Yes).await {
                Ok(Some(built)) if built.missing.is_empty() => return built.tenant,
                Ok(Some(built)) => self.make_routes(&built, &mut routes, FileCheck::Exist).await,
                Ok(None) => return self.builder.unreadable(id, name, "the tenant is gone".to_owned()),
                Err(error) => {
                    let reason = with_causes(&error);
                    tracing::error!(tenant = %name, %reason, "a tenant cannot be read and answers 503");
                    self.stale.keep(id);
                    return self.builder.unreadable(id, name, reason);
                }
            }
        }
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
                self.routing.put(vec![built.tenant.clone()]);
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

    /// Reads a tenant. Keys change one by one with [`Self::add_api_key`] and [`Self::revoke_api_key`], so
    /// those of a tenant that is served are in line.
    async fn read(
        &self,
        tenant: TenantId,
        routes: &Routes,
        again: RetryFailed,
    ) -> Result<Option<Built>, LifecycleError> {
        let Some(stored) = self.db.routed_tenant(tenant).await? else {
            return Ok(None);
        };
        let known = self.routing.tenant_by_id(tenant);
        let api_keys = match known.as_ref().filter(|known| known.problem.is_none()) {
            Some(known) => known.api_keys.clone(),
            None => {
                let keys = self.db.valid_api_keys(tenant, self.clock.now());
                Arc::new(ApiKeys::new(keys.await?))
            }
        };
        Ok(Some(self.build(
            stored,
            api_keys,
            known.as_deref(),
            routes,
            again,
        )))
    }

    fn build(
        &self,
        stored: RoutedTenant,
        api_keys: Arc<ApiKeys>,
        known: Option<&TenantRoutes>,
        routes: &Routes,
        again: RetryFailed,
    ) -> Built {
        let id = stored.tenant.id;
        self.problems.set(id, &stored.problems);
        self.note_unreadable_secrets(&stored);
        let failed = |digest: VersionDigest| {
            let unavailable = known?.unavailable.values();
            let failed = unavailable
                .filter(|_| again == RetryFailed::No)
                .find(|failed| failed.digest == Some(digest) && failed.cause != Cause::Preparing);
            failed.map(|failed| Err(failed.clone()))
        };
        self.builder.tenant(stored, api_keys, known, |digest| {
            let made = routes.get(&digest).cloned();
            made.or_else(|| self.prepared.get(id, digest).map(Ok))
                .or_else(|| failed(digest))
        })
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
