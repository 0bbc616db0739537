//! How the version that serves fares: which of its routes and functions are left alone because they
//! fail all the time.

use std::sync::Arc;

use super::Lifecycle;
use crate::domain::id::{FunctionName, PluginName, TenantId, TenantName};
use crate::tenants::{Ailment, PluginRoutes};

/// A route that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AilingRoute {
    /// Its method.
    pub method: String,
    /// Its pattern.
    pub pattern: String,
    /// Since when, until when, and why.
    pub ailment: Ailment,
}

/// A function that is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AilingFunction {
    /// Its name.
    pub name: FunctionName,
    /// Since when, until when, and why.
    pub ailment: Ailment,
}

/// A plugin that cannot be served, or a tenant none of whose plugins can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnavailablePlugin {
    /// Whose.
    pub tenant: TenantName,
    /// Which plugin; `None` for the whole tenant.
    pub plugin: Option<PluginName>,
    /// Why.
    pub reason: String,
}

impl Lifecycle {
    /// The tenants whose databases were found damaged.
    pub fn damaged_databases(&self) -> Vec<TenantId> {
        self.services.databases.damaged()
    }

    /// What cannot be served at the moment, in the order of the names.
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

    /// Rows that could not be read and stop no tenant: a key that does not work, for instance.
    pub fn unreadable_rows(&self) -> Vec<String> {
        self.problems.all()
    }

    /// Why a plugin cannot be served at the moment, if it cannot.
    pub fn unavailable(&self, tenant: TenantId, plugin: &PluginName) -> Option<String> {
        let tenant = self.routing.tenant_by_id(tenant)?;
        let failed = tenant.unavailable.get(plugin).map(|failed| failed.reason.clone());
        // The reason of a whole tenant is the operator's: it tells of the host's inside.
        let whole = "what the host stores of this tenant cannot be read; the operator sees why";
        tenant.problem.as_ref().map(|_| whole.to_owned()).or(failed)
    }

    /// The routes of a plugin that are left alone, in the order of its manifest.
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

    /// The functions of a plugin that are left alone, in the order of its manifest.
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

    /// Forgets what failed.
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
