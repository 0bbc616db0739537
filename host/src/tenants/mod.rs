//! The routing data that the gateway needs for each request, in memory: tenants, plugins, routes,
//! keys and limits.
//!
//! The snapshot of a tenant is rebuilt when the tenant changes, and replaced as a whole. A request
//! therefore sees either the old state or the new one. No request accesses the database of the
//! control plane.

mod admission;
mod api_keys;
mod background;
mod backlog;
mod bodies;
pub mod budget;
mod build;
mod health;
mod job_hold;
mod rate;
mod snapshot;
mod webhook;

pub use admission::{Admitted, Caller, Full, TenantAdmission};
pub use api_keys::ApiKeys;
pub use background::{CallableJob, JobEntry, ScheduleEntry};
pub use backlog::Backlog;
pub use bodies::{Bodies, BodyCharge};
pub use build::{BuildError, Builder, Built};
pub use health::{Breaker, Change, HealthPermit, OpenCircuit, RouteHealth, Unhealthy};
pub use job_hold::{HoldReason, job_hold};
pub use rate::{RateDecision, RateLimiter};
pub use snapshot::{
    CallableFunction, Cause, EntryPoint, FunctionEntry, MethodRoute, PluginRoutes, RouteMatch, RouteRate,
    Router, TenantRoutes, Unavailable,
};
pub use webhook::{LastRefusal, WebhookEntry, WebhookTally};

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use papaya::HashMap;

use crate::domain::generation::Generation;
use crate::domain::id::{PluginName, TenantId, TenantName};

/// The tenants that are served.
///
/// A lookup takes no lock. A change of a tenant replaces the snapshot in the tenant's slot, so its
/// cost does not depend on the number of tenants. The maps change only when a tenant is added or
/// removed.
#[derive(Default)]
pub struct Routing {
    by_name: HashMap<TenantName, Arc<Slot>>,
    by_id: HashMap<TenantId, Arc<Slot>>,
}

/// Holds the newest snapshot of a tenant, and nothing once the tenant is removed. The maps may free
/// a slot much later, and a snapshot holds warm instances.
type Slot = ArcSwapOption<TenantRoutes>;

impl Routing {
    /// The tenant of this name.
    pub fn tenant(&self, name: &str) -> Option<Arc<TenantRoutes>> {
        self.by_name.pin().get(name)?.load_full()
    }

    /// The tenant of this id.
    pub fn tenant_by_id(&self, id: TenantId) -> Option<Arc<TenantRoutes>> {
        self.by_id.pin().get(&id)?.load_full()
    }

    /// Adds a tenant, or replaces its snapshot. The caller must hold the tenant's `changes` lock,
    /// unless no request is served yet.
    pub fn put(&self, tenant: TenantRoutes) {
        let (id, tenant) = (tenant.id, Arc::new(tenant));
        let slots = self.by_id.pin();
        match slots.get(&id) {
            // The name of a tenant never changes.
            Some(slot) => slot.store(Some(tenant)),
            None => {
                let slot = Arc::new(Slot::from(Some(tenant.clone())));
                slots.insert(id, slot.clone());
                self.by_name.pin().insert(tenant.name.clone(), slot);
            }
        }
    }

    /// The number of tenants.
    pub fn count(&self) -> usize {
        self.by_id.len()
    }

    /// All tenants.
    pub fn all(&self) -> Vec<Arc<TenantRoutes>> {
        self.by_id
            .pin()
            .values()
            .filter_map(|slot| slot.load_full())
            .collect()
    }

    /// Answers 503 for a tenant until it is put again, because its snapshot may be out of date.
    pub fn tenant_fails(&self, id: TenantId, problem: &str) {
        self.change(id, |tenant| {
            tenant.problem = Some(problem.to_owned());
            tenant.generation = Generation::default();
        });
    }

    /// Answers 503 for a version of a plugin until the tenant is put again.
    pub fn version_fails(&self, id: TenantId, plugin: &PluginName, unavailable: &Unavailable) {
        self.change(id, |tenant| {
            let serves = tenant.plugins.get(plugin);
            if serves.is_some_and(|serves| Some(serves.active.digest) == unavailable.digest) {
                tenant.plugins.remove(plugin);
                tenant.unavailable.insert(plugin.clone(), unavailable.clone());
            }
        });
    }

    fn change(&self, id: TenantId, change: impl Fn(&mut TenantRoutes)) {
        if let Some(slot) = self.by_id.pin().get(&id) {
            slot.rcu(|known| {
                known.as_ref().map(|known| {
                    let mut changed = TenantRoutes::clone(known);
                    change(&mut changed);
                    Arc::new(changed)
                })
            });
        }
    }

    /// Removes a tenant. The caller must hold the tenant's `changes` lock.
    pub fn remove(&self, id: TenantId) {
        if let Some(slot) = self.by_id.pin().remove(&id)
            && let Some(tenant) = slot.swap(None)
        {
            // A newer tenant may have the name by now.
            let is_its_own = |_: &TenantName, named: &Arc<Slot>| Arc::ptr_eq(named, slot);
            // If the closure keeps another tenant's slot, that is no error.
            let _ = self.by_name.pin().remove_if(&tenant.name, is_its_own);
        }
    }
}
