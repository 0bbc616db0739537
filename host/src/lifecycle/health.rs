//! How the version that serves fares: which of its routes are left alone because they fail all the time.

use std::sync::Arc;

use super::Lifecycle;
use crate::domain::id::{PluginName, TenantId};
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

impl Lifecycle {
    /// Why the active version of a plugin cannot be served, if it cannot.
    pub fn unavailable(&self, tenant: TenantId, plugin: &PluginName) -> Option<String> {
        let tenant = self.routing.tenant_by_id(tenant)?;
        tenant.unavailable.get(plugin).cloned()
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
                ailment: route.health.ailment()?,
            })
        });
        ailing.collect()
    }

    /// Forgets what failed.
    pub(super) fn recover(&self, tenant: TenantId, plugin: &PluginName) {
        for route in self
            .served(tenant, plugin)
            .iter()
            .flat_map(|served| served.routes())
        {
            route.health.recover();
        }
    }

    fn served(&self, tenant: TenantId, plugin: &PluginName) -> Option<Arc<PluginRoutes>> {
        self.routing.tenant_by_id(tenant)?.plugins.get(plugin).cloned()
    }
}
