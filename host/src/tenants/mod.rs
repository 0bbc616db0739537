//! What the gateway needs to know per request, in memory: tenants, plugins, routes, keys and gates.
//!
//! The snapshot of a tenant is built when something of it changes and swapped in as a whole, so a request sees either
//! the old state or the new one. No request asks the control plane.

mod admission;
mod backlog;
mod build;
pub mod fair_semaphore;
mod health;
mod rate;
mod snapshot;

pub use admission::{Admitted, Full, Gate};
pub use backlog::Backlog;
pub use build::{BuildError, Builder};
pub use health::{Ailment, Breaker, Change, Pass, RouteHealth, Unhealthy};
pub use rate::{RateLimiter, Standing};
pub use snapshot::{MethodRoute, PluginRoutes, RouteMatch, RouteRate, TenantRoutes};

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::domain::id::{TenantId, TenantName};

/// The tenants that are served, by name.
#[derive(Default)]
pub struct Routing {
    tenants: ArcSwap<HashMap<TenantName, Arc<TenantRoutes>>>,
}

impl Routing {
    /// The tenant of this name.
    pub fn tenant(&self, name: &str) -> Option<Arc<TenantRoutes>> {
        self.tenants.load().get(name).cloned()
    }

    /// The tenant of this id.
    pub fn tenant_by_id(&self, id: TenantId) -> Option<Arc<TenantRoutes>> {
        self.tenants
            .load()
            .values()
            .find(|tenant| tenant.id == id)
            .cloned()
    }

    /// Serves a tenant as it is now, in place of what was known of it.
    pub fn put(&self, tenant: TenantRoutes) {
        let tenant = Arc::new(tenant);
        self.tenants.rcu(|tenants| {
            let mut tenants = HashMap::clone(tenants);
            tenants.retain(|_, known| known.id != tenant.id);
            tenants.insert(tenant.name.clone(), tenant.clone());
            tenants
        });
    }

    /// Serves these tenants and no others.
    pub fn replace(&self, tenants: Vec<TenantRoutes>) {
        let tenants = tenants
            .into_iter()
            .map(|tenant| (tenant.name.clone(), Arc::new(tenant)));
        self.tenants.store(Arc::new(tenants.collect()));
    }

    /// Stops serving a tenant.
    pub fn remove(&self, id: TenantId) {
        self.tenants.rcu(|tenants| {
            let mut tenants = HashMap::clone(tenants);
            tenants.retain(|_, known| known.id != id);
            tenants
        });
    }
}
