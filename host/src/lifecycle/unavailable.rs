//! The plugins and tenants that cannot be served, and why.

use super::Lifecycle;
use crate::domain::id::{PluginName, TenantId, TenantName};

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

    /// Why a plugin cannot be served at the moment, if it cannot.
    pub fn unavailable(&self, tenant: TenantId, plugin: &PluginName) -> Option<String> {
        let tenant = self.routing.tenant_by_id(tenant)?;
        let failed = tenant.unavailable.get(plugin).map(|failed| failed.reason.clone());
        // The reason of a whole tenant is the operator's: it tells of the host's inside.
        let whole = "what the host stores of this tenant cannot be read; the operator sees why";
        tenant.problem.as_ref().map(|_| whole.to_owned()).or(failed)
    }
}
