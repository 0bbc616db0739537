//! What this node serves of a tenant's jobs.

use super::Lifecycle;
use crate::capability::database::DatabaseError;
use crate::domain::id::{JobId, JobName, PluginName, TenantId};
use crate::tenants::{HoldReason, job_hold};

impl Lifecycle {
    /// Lets a job run from the beginning, whatever it did before.
    pub async fn reset_job(&self, tenant: TenantId, job: JobId) -> Result<(), DatabaseError> {
        self.services.databases.reset_job(tenant, job).await
    }

    /// Why jobs of this kind cannot run now; `None` if they can.
    pub fn job_hold(&self, tenant: TenantId, plugin: &PluginName, job: &JobName) -> Option<HoldReason> {
        job_hold(self.routing.tenant_by_id(tenant).as_deref(), plugin, job)
    }

    /// The kinds of jobs of all plugins that are served.
    pub fn job_kinds(&self, tenant: TenantId) -> Vec<(PluginName, JobName)> {
        let Some(tenant) = self.routing.tenant_by_id(tenant) else {
            return Vec::new();
        };
        let plugins = tenant.plugins.iter();
        plugins
            .flat_map(|(plugin, served)| served.jobs().keys().map(|job| (plugin.clone(), job.clone())))
            .collect()
    }

    /// Whether the plugin declares this kind of job; `None` if the plugin is not served.
    pub fn declares_job(&self, tenant: TenantId, plugin: &PluginName, job: &JobName) -> Option<bool> {
        let tenant = self.routing.tenant_by_id(tenant)?;
        let served = tenant.plugins.get(plugin)?;
        Some(served.jobs().contains_key(job))
    }
}
