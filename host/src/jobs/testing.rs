//! A job for unit tests.

use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{Backoff, Job, JobOrigin, JobState, NewJob};

/// The first attempt of a job of some tenant.
pub fn job() -> Job {
    Job {
        new: new_job(TenantId::generate(), "sync-erp"),
        state: JobState::Running,
        attempt: 1,
        lease_until: None,
        cancel_requested: false,
        ended_at: None,
        error: None,
    }
}

/// A job of this kind that is due at once.
pub fn new_job(tenant: TenantId, name: &str) -> NewJob {
    NewJob {
        id: JobId::generate(),
        tenant,
        plugin: "orders".parse().unwrap(),
        name: name.parse().unwrap(),
        payload: "{}".into(),
        origin: JobOrigin::Enqueued,
        priority: 0,
        run_at: Timestamp(0),
        max_attempts: 8,
        backoff: Backoff::default(),
        unique_key: None,
        concurrency: None,
        depth: 0,
        traceparent: None,
        created_at: Timestamp(0),
    }
}
