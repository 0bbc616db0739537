//! The plugins that this node serves, for the admin API of webhooks.

use std::sync::Arc;

use super::Lifecycle;
use crate::domain::id::TenantId;
use crate::tenants::PluginRoutes;

impl Lifecycle {
    /// The plugins of a tenant whose active version is served.
    pub fn served_plugins(&self, tenant: TenantId) -> Vec<Arc<PluginRoutes>> {
        let tenant = self.routing.tenant_by_id(tenant);
        tenant.map_or_else(Vec::new, |tenant| tenant.plugins.values().cloned().collect())
    }
}
