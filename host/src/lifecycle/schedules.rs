//! The schedules of a version, compared with the limits of its tenant.

use std::sync::Arc;

use super::{Lifecycle, LifecycleError};
use crate::components::Refusal;
use crate::domain::id::PluginName;
use crate::domain::limits::Limits;
use crate::domain::manifest::Manifest;
use crate::domain::plugin::Version;
use crate::domain::schedule_limits::ScheduleExcess;
use crate::domain::tenant::Tenant;
use crate::storage::DbError;

impl Lifecycle {
    /// Refuses an uploaded manifest with schedules that could not be activated even if the tenant
    /// had no others.
    pub(super) async fn check_uploaded_schedules(
        &self,
        manifest: &Manifest,
        limits: &Limits,
    ) -> Result<(), LifecycleError> {
        let limits = limits.lowered_by(&manifest.limits);
        match self.schedule_excess(manifest.clone(), None, 0, limits).await? {
            None => Ok(()),
            Some(excess) => Err(LifecycleError::Refused(Refusal::manifest(
                excess.to_string(),
                "change the schedule, or ask the operator for a higher limit; `mortise limits show --tenant …` shows \
                 the limits",
            ))),
        }
    }

    /// How the schedules of a version exceed the limits of the tenant, if it becomes the active
    /// version of the plugin.
    pub(super) async fn exceeding_schedules(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
        version: &Version,
    ) -> Result<Option<ScheduleExcess>, LifecycleError> {
        if version.manifest.schedules.is_empty() {
            return Ok(None);
        }
        let limits = self.limits(tenant).await?.lowered_by(&version.manifest.limits);
        let (active, others) = self.active_schedules(tenant, plugin).await?;
        let manifest = Manifest::clone(&version.manifest);
        self.schedule_excess(manifest, active, others, limits).await
    }

    /// Refuses to restore a plugin whose schedules, with those of the tenant's other plugins, are
    /// more than the tenant may have. What each schedule does is not compared with the limits: they
    /// were kept when the version became active.
    pub(super) async fn check_restored_schedules(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
    ) -> Result<(), LifecycleError> {
        let version = match self.db.deleted_active_version(tenant.id, plugin).await {
            Ok(Some(version)) => version,
            // A version that cannot be read runs no schedules.
            Ok(None) | Err(DbError::Corrupt { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let limits = self.limits(tenant).await?.lowered_by(&version.manifest.limits);
        let (_, others) = self.active_schedules(tenant, plugin).await?;
        let own = version.manifest.schedules.len();
        ScheduleExcess::check_count(own, others, &limits).map_err(LifecycleError::Schedules)
    }

    /// The manifest of the plugin's active version, and the number of schedules of the tenant's
    /// other plugins.
    async fn active_schedules(
        &self,
        tenant: &Tenant,
        plugin: &PluginName,
    ) -> Result<(Option<Arc<Manifest>>, usize), LifecycleError> {
        let mut active = None;
        let mut others = 0_usize;
        let stored = self.db.routed_tenant(tenant.id).await?;
        for routed in stored.into_iter().flat_map(|stored| stored.plugins) {
            // A version that cannot be read runs no schedules.
            let Ok(Some(version)) = routed.active else {
                continue;
            };
            match routed.plugin.name == *plugin {
                true => active = Some(version.manifest),
                false => others = others.saturating_add(version.manifest.schedules.len()),
            }
        }
        Ok((active, others))
    }

    /// Compares schedules on a blocking thread: thousands of times are computed.
    async fn schedule_excess(
        &self,
        manifest: Manifest,
        active: Option<Arc<Manifest>>,
        others: usize,
        limits: Limits,
    ) -> Result<Option<ScheduleExcess>, LifecycleError> {
        if manifest.schedules.is_empty() {
            return Ok(None);
        }
        let now = self.clock.now();
        let check = move || ScheduleExcess::check(&manifest, active.as_deref(), others, &limits, now).err();
        tokio::task::spawn_blocking(check)
            .await
            .map_err(LifecycleError::host)
    }
}
