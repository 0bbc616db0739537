//! The circuit breakers of the version that serves: which of them are open.

use std::sync::Arc;

use super::Lifecycle;
use crate::domain::id::{FunctionName, PluginName, TenantId};
use crate::tenants::{OpenCircuit, PluginRoutes};

/// A route or a function whose circuit breaker is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnhealthyCallee {
    /// Which route or function.
    pub callee: CalleeName,
    /// Since when, until when, and why.
    pub open_circuit: OpenCircuit,
}

/// Names a route or a function of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CalleeName {
    /// A route.
    Route {
        /// Its method.
        method: String,
        /// Its pattern.
        pattern: String,
    },
    /// A function.
    Function(FunctionName),
}

impl Lifecycle {
    /// The routes and then the functions of a plugin whose circuit breakers are open, both in the
    /// order of its manifest.
    pub fn unhealthy(&self, tenant: TenantId, plugin: &PluginName) -> Vec<UnhealthyCallee> {
        let Some(served) = self.served(tenant, plugin) else {
            return Vec::new();
        };
        let routes = served.routes().iter().filter_map(|route| {
            let open_circuit = route.entry.health.open_circuit()?;
            let callee = CalleeName::Route {
                method: route.method.clone(),
                pattern: route.pattern.to_string(),
            };
            Some(UnhealthyCallee { callee, open_circuit })
        });
        let functions = served.functions().iter().filter_map(|function| {
            let open_circuit = function.entry.health.open_circuit()?;
            let callee = CalleeName::Function(function.name.clone());
            Some(UnhealthyCallee { callee, open_circuit })
        });
        routes.chain(functions).collect()
    }

    /// Closes all circuit breakers of a plugin.
    pub(super) fn recover(&self, tenant: TenantId, plugin: &PluginName) {
        let Some(served) = self.served(tenant, plugin) else {
            return;
        };
        for route in served.routes() {
            route.entry.health.recover();
        }
        for function in served.functions() {
            function.entry.health.recover();
        }
    }

    fn served(&self, tenant: TenantId, plugin: &PluginName) -> Option<Arc<PluginRoutes>> {
        self.routing.tenant_by_id(tenant)?.plugins.get(plugin).cloned()
    }
}
