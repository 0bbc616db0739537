//! Limits in a manifest that have no effect, because they are above the host's ceiling or above the
//! tenant's limits.

use super::{Lifecycle, LifecycleError};
use crate::components::Refusal;
use crate::domain::manifest::Manifest;
use crate::domain::manifest_checks::{ExceededLimit, exceeded_limits};
use crate::domain::plugin::Version;
use crate::domain::tenant::Tenant;

impl Lifecycle {
    /// Refuses a manifest with a limit above the host's ceiling.
    pub(super) fn check_ceiling(&self, manifest: &Manifest) -> Result<(), LifecycleError> {
        match exceeded_limits(manifest, self.builder.ceiling())
            .into_iter()
            .next()
        {
            None => Ok(()),
            Some(ExceededLimit { name, asked, most }) => Err(LifecycleError::Refused(Refusal::manifest(
                format!("plugin.toml: {name}: {asked} is more than any plan of this host can give, {most}"),
                "a manifest lowers limits only; write less, or leave the limit out and get what the plan gives",
            ))),
        }
    }

    /// Warnings about limits in the manifest that are above those of the tenant.
    pub(super) async fn idle_limits(
        &self,
        tenant: &Tenant,
        version: &Version,
    ) -> Result<Vec<String>, LifecycleError> {
        let limits = self.limits(tenant).await?;
        let warning = |ExceededLimit { name, asked, most }| {
            format!("{name}: the manifest says {asked}, but the tenant has {most}, which applies")
        };
        Ok(exceeded_limits(&version.manifest, &limits)
            .into_iter()
            .map(warning)
            .collect())
    }
}
