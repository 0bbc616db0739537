//! What the gateway needs to know per request, in memory: tenants, plugins, routes, keys and gates.
//!
//! The snapshot of a tenant is built when something of it changes and swapped in as a whole, so a request sees either
//! the old state or the new one. No request asks the control plane.

mod admission;
mod api_keys;
mod backlog;
mod bodies;
pub mod budget;
mod build;
mod health;
mod rate;
mod snapshot;

pub use admission::{Admitted, Caller, Full, Gate};
pub use api_keys::ApiKeys;
pub use backlog::Backlog;
pub use bodies::{Bodies, BodyCharge};
pub use build::{BuildError, Builder, Built};
pub use health::{Ailment, Breaker, Change, Pass, RouteHealth, Unhealthy};
pub use rate::{RateLimiter, Standing};
pub use snapshot::{
    CallableFunction, Cause, EntryPoint, FunctionEntry, MethodRoute, PluginRoutes, RouteMatch, RouteRate,
    Router, TenantRoutes, Unavailable,
};

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::id::{PluginName, TenantId, TenantName};

/// The tenants that are served.
#[derive(Default)]
pub struct Routing {
    served: ArcSwap<Served>,
}

#[derive(Clone, Default)]
struct Served {
    by_name: HashMap<TenantName, Arc<TenantRoutes>>,
    by_id: HashMap<TenantId, Arc<TenantRoutes>>,
}

impl Routing {
    /// The tenant of this name.
    pub fn tenant(&self, name: &str) -> Option<Arc<TenantRoutes>> {
        self.served.load().by_name.get(name).cloned()
    }

    /// The tenant of this id.
    pub fn tenant_by_id(&self, id: TenantId) -> Option<Arc<TenantRoutes>> {
        self.served.load().by_id.get(&id).cloned()
    }

    /// Serves tenants as they are now, in place of what was known of them. A change of many tenants
    /// is to come as one: each call copies the map of all.
    pub fn put(&self, tenants: Vec<TenantRoutes>) {
        let tenants: Vec<Arc<TenantRoutes>> = tenants.into_iter().map(Arc::new).collect();
        self.served.rcu(|served| {
            let mut served = Served::clone(served);
            for tenant in &tenants {
                served.remove(tenant.id);
                served.insert(tenant.clone());
            }
            served
        });
    }

    /// All tenants.
    pub fn all(&self) -> Vec<Arc<TenantRoutes>> {
        self.served.load().by_id.values().cloned().collect()
    }

    /// Answers 503 for a tenant until it is put again: what is known of it may be out of date.
    pub fn tenant_fails(&self, id: TenantId, problem: &str) {
        self.change(id, |tenant| tenant.problem = Some(problem.to_owned()));
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
        self.served.rcu(|served| {
            let mut served = Served::clone(served);
            if let Some(known) = served.by_id.get(&id) {
                let mut changed = TenantRoutes::clone(known);
                change(&mut changed);
                served.insert(Arc::new(changed));
            }
            served
        });
    }

    /// Stops serving a tenant.
    pub fn remove(&self, id: TenantId) {
        self.served.rcu(|served| {
            let mut served = Served::clone(served);
            served.remove(id);
            served
        });
    }
}

impl Served {
    fn insert(&mut self, tenant: Arc<TenantRoutes>) {
        self.by_name.insert(tenant.name.clone(), tenant.clone());
        self.by_id.insert(tenant.id, tenant);
    }

    fn remove(&mut self, id: TenantId) {
        if let Some(tenant) = self.by_id.remove(&id) {
            self.by_name.remove(&tenant.name);
        }
    }
}
