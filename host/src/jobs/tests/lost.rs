//! Tests of lost attempts after which their jobs end: the tenant's database knows whether the jobs
//! were completed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;
use crate::domain::job::{AttemptOutcome, JobState};
use crate::jobs::recover::recover;

/// Longer than the lease of a claim.
const LEASE: u64 = 71;

const HOUR: u64 = 60 * 60;

/// Claims a new job with so many attempts.
async fn claimed(world: &World, tenant: TenantId, max_attempts: u32) -> ClaimedJob {
    let new = NewJob {
        max_attempts,
        ..job(tenant, "sync", "")
    };
    world.db.add_jobs(&[new]).await.unwrap();
    world.claim(1).await.remove(0)
}

/// The same, and its transaction completes it.
async fn completed(world: &World, tenant: TenantId) -> ClaimedJob {
    let claimed = claimed(world, tenant, 1).await;
    world.complete(tenant, claimed.job.new.id).await;
    claimed
}

async fn stored(world: &World, claimed: &ClaimedJob) -> Job {
    let new = &claimed.job.new;
    let (job, _) = world.db.job(new.tenant, new.id).await.unwrap().unwrap();
    job
}

async fn state(world: &World, claimed: &ClaimedJob) -> JobState {
    stored(world, claimed).await.state
}

/// A tenant's database, and a place to which the tests move it.
fn files(world: &World, tenant: TenantId) -> (PathBuf, PathBuf) {
    let folder = world.folder.path();
    let file = folder.join("databases").join(format!("{tenant}.db"));
    (file, folder.join("moved.db"))
}

/// Restarts the host, and makes the tenant's database one that cannot be opened.
async fn restarted_without(world: World, tenant: TenantId) -> World {
    let world = world.restarted().await;
    let (file, moved) = files(&world, tenant);
    fs::rename(&file, &moved).unwrap();
    // Links are not followed.
    symlink(&moved, &file).unwrap();
    world
}

#[tokio::test]
async fn a_job_that_its_lost_last_attempt_completed_is_done() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let job = completed(&world, tenant).await;
    let failed = claimed(&world, tenant, 1).await;
    world.advance(LEASE);
    world.maintenance.pass().await;
    assert_eq!(state(&world, &job).await, JobState::Done);
    let (_, attempts) = world.db.job(tenant, job.job.new.id).await.unwrap().unwrap();
    assert_eq!(attempts[0].outcome, Some(AttemptOutcome::Done));
    let failed = stored(&world, &failed).await;
    assert_eq!(failed.state, JobState::Dead);
    assert!(failed.error.unwrap().contains("lease was over"));
    let totals = world.counters.totals();
    assert_eq!((totals.done, totals.lost), (1, 1));
}

#[tokio::test]
async fn a_completed_job_that_was_to_be_cancelled_is_done() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let claimed = claimed(&world, tenant, 3).await;
        let id = claimed.job.new.id;
        world.db.cancel_job(tenant, id, NOW, &change(1)).await.unwrap();
        jobs.push(claimed);
    }
    world.complete(tenant, jobs[0].job.new.id).await;
    world.advance(LEASE);
    world.maintenance.pass().await;
    assert_eq!(state(&world, &jobs[0]).await, JobState::Done);
    assert_eq!(state(&world, &jobs[1]).await, JobState::Cancelled);
}

#[tokio::test]
async fn the_next_start_ends_what_the_last_process_left_behind() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let job = completed(&world, tenant).await;
    let failed = claimed(&world, tenant, 1).await;
    let again = claimed(&world, tenant, 3).await;
    let world = world.restarted().await;
    recover(&*world.db, "node", &*world.clock, &world.counters).await;
    assert_eq!(state(&world, &again).await, JobState::Scheduled);
    // The start does not wait for the databases of tenants.
    assert_eq!(state(&world, &job).await, JobState::Running);
    world.maintenance.pass().await;
    assert_eq!(state(&world, &job).await, JobState::Done);
    let failed = stored(&world, &failed).await;
    assert_eq!(failed.state, JobState::Dead);
    let error = failed.error.unwrap();
    assert!(error.contains("`node` ended before attempt 1"), "{error}");
    let totals = world.counters.totals();
    assert_eq!((totals.done, totals.lost), (1, 2));
}

#[tokio::test]
async fn a_job_waits_for_a_database_that_cannot_be_opened_and_others_do_not() {
    let world = World::new().await;
    let (tenant, other) = (world.tenant().await, world.tenant().await);
    let job = completed(&world, tenant).await;
    let theirs = completed(&world, other).await;
    let world = restarted_without(world, tenant).await;
    world.advance(LEASE);
    for _ in 0..2 {
        world.maintenance.pass().await;
        assert_eq!(state(&world, &job).await, JobState::Running);
        assert_eq!(state(&world, &theirs).await, JobState::Done);
        world.advance(HOUR - 1);
    }
    let (file, moved) = files(&world, tenant);
    fs::remove_file(&file).unwrap();
    fs::rename(&moved, &file).unwrap();
    let world = world.restarted().await;
    world.maintenance.pass().await;
    assert_eq!(state(&world, &job).await, JobState::Done);
}

#[tokio::test]
async fn a_database_that_does_not_answer_for_an_hour_keeps_no_job_running() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let job = completed(&world, tenant).await;
    let world = restarted_without(world, tenant).await;
    world.advance(LEASE);
    world.maintenance.pass().await;
    assert_eq!(state(&world, &job).await, JobState::Running);
    world.advance(HOUR);
    world.maintenance.pass().await;
    let dead = stored(&world, &job).await;
    assert_eq!(dead.state, JobState::Dead);
    let error = dead.error.unwrap();
    assert!(error.contains("completed the job is not known"), "{error}");
    assert!(error.contains("cannot be opened"), "{error}");
}

#[tokio::test]
async fn a_missing_database_keeps_no_job_running() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    let job = claimed(&world, tenant, 1).await;
    world.databases.mark_missing(tenant);
    world.advance(LEASE);
    world.maintenance.pass().await;
    let dead = stored(&world, &job).await;
    assert_eq!(dead.state, JobState::Dead);
    let error = dead.error.unwrap();
    assert!(error.contains("has to be restored"), "{error}");
}
