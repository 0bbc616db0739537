//! Health of tenants and plugins: open circuit breakers, and what cannot be served.

use std::sync::Arc;

use super::Lifecycle;
use crate::domain::id::{FunctionName, PluginName, TenantId, TenantName};
use crate::tenants::{Ailment, PluginRoutes};

/// A route with an open circuit breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AilingRoute {
    /// Method of the route.
    pub method: String,
    /// Path pattern of the route.
    pub pattern: String,
    /// The open circuit, and why it opened.
    pub ailment: Ailment,
}

/// A function with an open circuit breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AilingFunction {
    /// Name of the function.
    pub name: FunctionName,
    /// The open circuit, and why it opened.
    pub ailment: Ailment,
}

/// A plugin that cannot be served, or a tenant without any plugin that can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnavailablePlugin {
    /// The tenant.
    pub tenant: TenantName,
    /// The plugin; `None` for the whole tenant.
    pub plugin: Option<PluginName>,
    /// The reason.
    pub reason: String,
}

impl Lifecycle {
    /// The tenants whose databases were found damaged.
    pub fn damaged_databases(&self) -> Vec<TenantId> {
        self.services.databases.damaged()
    }

    /// Tenants and plugins that cannot be served at the moment, by name.
    pub fn all_unavailable(&self) -> Vec<UnavailablePlugin> {
        let mut all = Vec::new();
        for tenant in self.routing.all() {
            let whole = tenant.problem.iter().map(|reason| (None, reason));
            let plugins = tenant.unavailable.iter();
            let plugins = plugins.map(|(plugin, failed)| (Some(plugin.clone()), &failed.reason));
            all.extend(whole.chain(plugins).map(|(plugin, reason)| UnavailablePlugin {
                tenant: tenant.name.clone(),
                plugin,
                reason: reason.clone(),
            }));
        }
        all.sort_by(|one, other| (&one.tenant, &one.plugin).cmp(&(&other.tenant, &other.plugin)));
        all
    }

    /// Rows that cannot be read but stop no tenant, for instance that of an API key.
    pub fn unreadable_rows(&self) -> Vec<String> {
        self.problems.all()
    }

    /// Why a plugin cannot be served at the moment; `None` if it can.
    pub fn unavailable(&self, tenant: TenantId, plugin: &PluginName) -> Option<String> {
        let tenant = self.routing.tenant_by_id(tenant)?;
        let failed = tenant.unavailable.get(plugin).map(|failed| failed.reason.clone());
        // Only the operator sees why a whole tenant is unavailable, since the reason has details of
        // the host.
        let whole = "stored data of this tenant cannot be read; the operator can see the reason";
        tenant.problem.as_ref().map(|_| whole.to_owned()).or(failed)
    }

    /// The routes of a plugin with an open circuit breaker, in the order of the manifest.
    pub fn ailing_routes(&self, tenant: TenantId, plugin: &PluginName) -> Vec<AilingRoute> {
        let Some(served) = self.served(tenant, plugin) else {
            return Vec::new();
        };
        let ailing = served.routes().iter().filter_map(|route| {
            Some(AilingRoute {
                method: route.method.clone(),
                pattern: route.pattern.to_string(),
                ailment: route.entry.health.ailment()?,
            })
        });
        ailing.collect()
    }

    /// The functions of a plugin with an open circuit breaker, in the order of the manifest.
    pub fn ailing_functions(&self, tenant: TenantId, plugin: &PluginName) -> Vec<AilingFunction> {
        let Some(served) = self.served(tenant, plugin) else {
            return Vec::new();
        };
        let ailing = served.functions().iter().filter_map(|function| {
            Some(AilingFunction {
                name: function.name.clone(),
                ailment: function.entry.health.ailment()?,
            })
        });
        ailing.collect()
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
