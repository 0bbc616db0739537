//! Why jobs of a kind cannot run now.

use std::fmt;

use super::snapshot::TenantRoutes;
use crate::domain::host_job::HostJob;
use crate::domain::id::{JobName, PluginName};

/// Why jobs of a kind cannot run now. They wait until the reason is gone. The text is a sentence
/// for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// There is no such tenant: it was deleted.
    TenantMissing,
    /// The tenant is suspended.
    TenantSuspended,
    /// The plugin is disabled.
    PluginDisabled,
    /// There is no such plugin, or it has no active version.
    NoActiveVersion,
    /// The active version, or the whole tenant, cannot be served. The text says why.
    Unavailable(String),
    /// The active version does not have this kind of job.
    NoSuchJob,
    /// Somebody paused the jobs.
    Paused,
}

/// Why jobs of this kind cannot run now; `None` if they can. `tenant` is the current snapshot.
pub fn job_hold(tenant: Option<&TenantRoutes>, plugin: &PluginName, job: &JobName) -> Option<HoldReason> {
    let Some(tenant) = tenant else {
        return Some(HoldReason::TenantMissing);
    };
    if let Some(problem) = &tenant.problem {
        return Some(HoldReason::Unavailable(problem.clone()));
    }
    if tenant.suspended {
        return Some(HoldReason::TenantSuspended);
    }
    if plugin.is_host() {
        // The host runs its own jobs, whatever the tenant's plugins are.
        return HostJob::of(plugin, job)
            .is_none()
            .then_some(HoldReason::NoSuchJob);
    }
    let Some(routes) = tenant.plugins.get(plugin) else {
        return Some(match tenant.unavailable.get(plugin) {
            Some(unavailable) => HoldReason::Unavailable(unavailable.reason.clone()),
            None => HoldReason::NoActiveVersion,
        });
    };
    if routes.disabled {
        return Some(HoldReason::PluginDisabled);
    }
    if !routes.jobs().contains_key(job) {
        return Some(HoldReason::NoSuchJob);
    }
    let is_paused = routes.paused.all || routes.paused.jobs.contains(job);
    is_paused.then_some(HoldReason::Paused)
}

impl fmt::Display for HoldReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TenantMissing => "the tenant was deleted",
            Self::TenantSuspended => "the tenant is suspended until an operator resumes it",
            Self::PluginDisabled => "the plugin is disabled until somebody enables it",
            Self::NoActiveVersion => "the plugin has no active version; activate one",
            Self::Unavailable(reason) => {
                return write!(formatter, "the active version cannot run: {reason}");
            }
            Self::NoSuchJob => {
                "the active version of the plugin does not declare this job; activate a version that does, or purge \
                 the job"
            }
            Self::Paused => "the job is paused until somebody resumes it",
        })
    }
}
