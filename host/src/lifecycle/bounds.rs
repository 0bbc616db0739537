//! The limit on the number of a tenant's plugins.

use super::{Lifecycle, LifecycleError};
use crate::domain::id::PluginName;
use crate::domain::limits::Limits;
use crate::domain::tenant::Tenant;

impl Lifecycle {
    /// Refuses an upload that would create one plugin too many. Existing plugins above the limit
    /// are kept. The caller holds the lock of the tenant's uploads.
    pub(super) async fn check_plugins(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        limits: &Limits,
    ) -> Result<(), LifecycleError> {
        let counts = self.db.counts(tenant.id, self.clock.now()).await?;
        if counts.plugins < limits.plugins || self.db.plugin(tenant.id, plugin).await?.is_some() {
            return Ok(());
        }
        Err(LifecycleError::TooManyPlugins(limits.plugins))
    }
}
