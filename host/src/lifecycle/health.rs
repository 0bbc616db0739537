//! The circuit breakers of the version that serves: which of them are open.

use std::sync::Arc;

use super::Lifecycle;
use crate::domain::id::{FunctionName, PluginName, TenantId};
use crate::tenants::{Ailment, PluginRoutes};

/// A route or a function whose circuit breaker is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AilingCallee {
    /// Which route or function.
    pub callee: CalleeName,
    /// Since when, until when, and why.
    pub ailment: Ailment,
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
    pub fn ailing(&self, tenant: TenantId, plugin: &PluginName) -> Vec<AilingCallee> {
        let Some(served) = self.served(tenant, plugin) else {
            return Vec::new();
        };
        let routes = served.routes().iter().filter_map(|route| {
            let ailment = route.entry.health.ailment()?;
            let callee = CalleeName::Route {
                method: route.method.clone(),
                pattern: route.pattern.to_string(),
            };
            Some(AilingCallee { callee, ailment })
        });
        let functions = served.functions().iter().filter_map(|function| {
            let ailment = function.entry.health.ailment()?;
            let callee = CalleeName::Function(function.name.clone());
            Some(AilingCallee { callee, ailment })
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
