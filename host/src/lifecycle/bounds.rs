//! The limits of a tenant, and the bound on its plugins.

use super::{Lifecycle, LifecycleError};
use crate::domain::id::PluginName;
use crate::domain::limits::Limits;
use crate::domain::resource::Resource;
use crate::domain::tenant::Tenant;

impl Lifecycle {
    /// The limits of a tenant.
    pub async fn limits(&self, tenant: &Tenant) -> Result<Limits, LifecycleError> {
        let plan = self.db.plan(&tenant.plan).await?;
        let plan = plan.ok_or(LifecycleError::NotFound(Resource::Plan))?;
        Ok(self.builder.limits(tenant, &plan))
    }

    /// Refuses an upload that would make one plugin too many. A tenant that has more already keeps
    /// them, with all their versions. To be called under the lock of the tenant's uploads.
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
