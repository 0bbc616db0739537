//! Decides which jobs this node claims: by the tenants' shares, their limits, and what can run.

use std::sync::Arc;
use std::time::Duration;

use super::host_jobs::HostJobs;
use crate::domain::host_job::HostJob;
use crate::domain::id::{JobName, PluginName, TenantId};
use crate::storage::ClaimPolicy;
use crate::tenants::{CallableJob, PluginRoutes, Routing, TenantRoutes, job_hold};

/// Jobs that a tenant with share 1 may begin in one round of claims. A tenant with share 2 may
/// begin twice as many.
const QUANTUM: u32 = 4;

/// One of so many slots of a node is reserved for tenants that run no job.
const RESERVED_OF: u32 = 8;

/// The time that a lease lasts beyond the wall-clock limit of its job: for loading the component,
/// for waiting for an instance, and for writing how the attempt ended.
pub const MARGIN: Duration = Duration::from_secs(10);

/// The policy of this node, by the tenants that it serves.
pub struct RoutingPolicy {
    routing: Arc<Routing>,
    host_jobs: HostJobs,
    /// The slots that are reserved for tenants that run no job.
    reserved: u32,
}

impl RoutingPolicy {
    /// A policy for the tenants in `routing`, for the jobs that the host runs itself, and for a
    /// node with so many slots.
    pub fn new(routing: Arc<Routing>, host_jobs: HostJobs, slots: u32) -> Self {
        Self {
            routing,
            host_jobs,
            reserved: reserved(slots),
        }
    }
}

impl ClaimPolicy for RoutingPolicy {
    fn quota(&self, tenant: TenantId, running: u32, free: u32) -> u32 {
        match self.routing.tenant_by_id(tenant) {
            Some(tenant) => {
                let wanted = wanted(tenant.limits.share, tenant.limits.jobs_running, running);
                wanted.min(available(running, free, self.reserved))
            }
            // Its jobs are looked at, so that they are held.
            None => QUANTUM,
        }
    }

    fn lease(&self, tenant: TenantId, plugin: &PluginName, job: &JobName) -> Option<Duration> {
        let tenant = self.routing.tenant_by_id(tenant);
        if let Some(kind) = HostJob::of(plugin, job) {
            let can_run = self.host_jobs.has(kind) && job_hold(tenant.as_deref(), plugin, job).is_none();
            return can_run.then(|| kind.wall().saturating_add(MARGIN));
        }
        let (_, callable) = callable(tenant.as_deref(), plugin, job)?;
        Some(lease(callable))
    }
}

/// The plugin and the kind of job, if the job can run now.
pub fn callable<'a>(
    tenant: Option<&'a TenantRoutes>,
    plugin: &PluginName,
    job: &JobName,
) -> Option<(&'a Arc<PluginRoutes>, &'a CallableJob)> {
    if job_hold(tenant, plugin, job).is_some() {
        return None;
    }
    let plugin = tenant?.plugins.get(plugin)?;
    Some((plugin, plugin.jobs().get(job)?))
}

/// How long a claim of a job lasts.
pub fn lease(callable: &CallableJob) -> Duration {
    callable.active.limits.wall.0.saturating_add(MARGIN)
}

/// How many slots of a node are reserved: an eighth, and at least one of several.
fn reserved(slots: u32) -> u32 {
    match slots {
        0 | 1 => 0,
        _ => (slots / RESERVED_OF).max(1),
    }
}

/// How many jobs a tenant may begin in one round by its share and its limit.
fn wanted(share: u32, most: u32, running: u32) -> u32 {
    QUANTUM
        .saturating_mul(share.max(1))
        .min(most.saturating_sub(running))
}

/// How many of the free slots a tenant may take. The first job of a tenant may take a reserved one,
/// so that it does not wait for long jobs of others.
fn available(running: u32, free: u32, reserved: u32) -> u32 {
    let unreserved = free.saturating_sub(reserved);
    match running {
        0 => unreserved.max(1),
        _ => unreserved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_begins_as_many_jobs_as_its_share_says() {
        assert_eq!(wanted(1, 1_000, 0), QUANTUM);
        assert_eq!(wanted(3, 1_000, 0), 3 * QUANTUM);
        assert_eq!(wanted(0, 1_000, 0), QUANTUM);
        assert_eq!(wanted(u32::MAX, u32::MAX, 0), u32::MAX);
    }

    #[test]
    fn a_tenant_never_runs_more_jobs_than_it_may() {
        assert_eq!(wanted(10, 8, 0), 8);
        assert_eq!(wanted(10, 8, 7), 1);
        assert_eq!(wanted(10, 8, 8), 0);
        assert_eq!(wanted(10, 8, 9), 0);
    }

    #[test]
    fn an_eighth_of_the_slots_is_reserved_and_at_least_one_of_several() {
        for (slots, wanted) in [
            (0, 0),
            (1, 0),
            (2, 1),
            (8, 1),
            (15, 1),
            (16, 2),
            (128, 16),
            (u32::MAX, u32::MAX / 8),
        ] {
            assert_eq!(reserved(slots), wanted, "{slots}");
        }
    }

    #[test]
    fn only_the_first_job_of_a_tenant_takes_a_reserved_slot() {
        // Of eight free slots, one is reserved.
        assert_eq!((available(0, 8, 1), available(3, 8, 1)), (7, 7));
        assert_eq!((available(0, 2, 1), available(3, 2, 1)), (1, 1));
        assert_eq!((available(0, 1, 1), available(3, 1, 1)), (1, 0));
        // A node with one slot reserves none.
        assert_eq!((available(0, 1, 0), available(1, 1, 0)), (1, 1));
    }

    #[test]
    fn jobs_of_a_tenant_that_is_not_served_are_looked_at_and_cannot_run() {
        let policy = RoutingPolicy::new(Arc::default(), HostJobs::default(), 8);
        let tenant = TenantId::generate();
        let (plugin, job) = ("orders".parse().unwrap(), "sync-erp".parse().unwrap());
        assert!(policy.quota(tenant, 0, 8) > 0);
        assert_eq!(policy.lease(tenant, &plugin, &job), None);
        assert_eq!(
            policy.lease(tenant, &PluginName::host(), &HostJob::Mail.name()),
            None
        );
    }
}
