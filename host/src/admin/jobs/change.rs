//! Endpoints that change jobs: retry, cancel and purge.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::super::access::{Developer, TenantAccess};
use super::super::input::{At, NoParams, Params};
use super::super::logs::require_plugin;
use super::super::state::AdminState;
use super::filter::{JobSelection, subject};
use super::shown;
use crate::domain::clock::Timestamp;
use crate::domain::id::JobId;
use crate::domain::job::{Job, JobState};
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::http::hint::Hint;
use crate::http::problem::Problem;
use crate::storage::{Cancelled, JobFilter, Page};
use crate::wire::jobs::{JobDetail, PurgedView, RetriedView};

/// Jobs that one transaction changes. Other writers run between two of them.
const BLOCK: u32 = 500;

/// Runs an ended job again, with as many attempts as it had in the beginning, or a scheduled job
/// now. A job that was done runs from the beginning: results of its steps and
/// `transaction.complete` are forgotten; other jobs find them. A job that is due already stays as
/// it is. 409 if it runs, or if a live job has its unique key.
#[utoipa::path(post, path = "/tenants/{tenant}/jobs/{id}/retry", tag = "jobs",
    responses((status = 200, body = JobDetail)), security(("token" = ["developer"])))]
pub async fn retry(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<JobId>,
) -> Result<Json<JobDetail>, Problem> {
    let job = known(&state, &access, id).await?;
    if job.state == JobState::Done {
        // The host would find in the tenant's database that the job was completed, and end it.
        let reset = state.lifecycle.reset_job(access.tenant.id, id).await;
        reset.map_err(Problem::unavailable)?;
    }
    let change = state.change(&access.actor, "job.retry", named(&job));
    let retried = state
        .db
        .retry_job(access.tenant.id, id, change.at, &change)
        .await?;
    match retried {
        None => Err(Problem::not_found(Resource::Job)),
        Some(JobState::Running) => {
            Err(Problem::new(Code::Conflict, "the job runs, so it cannot be retried").hint(Hint::JobRuns))
        }
        Some(_) => {
            state.jobs.wake.jobs_added();
            shown(&state, &access, id).await
        }
    }
}

/// Cancels a job. A waiting job ends at once (200). A running job is asked to end and its plugin is
/// stopped (202): `cancel_requested` is set until then. 409 if it has ended.
#[utoipa::path(post, path = "/tenants/{tenant}/jobs/{id}/cancel", tag = "jobs",
    responses((status = 200, body = JobDetail, description = "Cancelled"),
        (status = 202, body = JobDetail, description = "The running attempt is being stopped")),
    security(("token" = ["developer"])))]
pub async fn cancel(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<JobId>,
) -> Result<(StatusCode, Json<JobDetail>), Problem> {
    let job = known(&state, &access, id).await?;
    let change = state.change(&access.actor, "job.cancel", named(&job));
    let cancelled = state
        .db
        .cancel_job(access.tenant.id, id, change.at, &change)
        .await?;
    let status = match cancelled {
        None => return Err(Problem::not_found(Resource::Job)),
        Some(Cancelled::Ended(ended)) => {
            let detail = format!("the job ended before, as {}", ended.as_str());
            return Err(Problem::new(Code::Conflict, detail).hint(Hint::JobEnded));
        }
        Some(Cancelled::Now) => {
            // A job that was blocked by this one may be ready now.
            state.jobs.wake.jobs_added();
            StatusCode::OK
        }
        Some(Cancelled::Requested) => {
            state.jobs.wake.cancellation_requested();
            StatusCode::ACCEPTED
        }
    };
    Ok((status, shown(&state, &access, id).await?))
}

/// Deletes the jobs that match, with their payloads and attempts; without a filter, all jobs of the
/// tenant. Running jobs stay, and `running` counts them: cancel them first. Jobs that are added
/// while the request runs stay too. 409 if only running jobs are asked for.
#[utoipa::path(delete, path = "/tenants/{tenant}/jobs", tag = "jobs", params(JobSelection),
    responses((status = 200, body = PurgedView)), security(("token" = ["developer"])))]
pub async fn purge(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<JobSelection>,
) -> Result<Json<PurgedView>, Problem> {
    let filter = selection.read()?;
    if filter.states == [JobState::Running] {
        let detail = "state: jobs that run cannot be deleted";
        return Err(Problem::new(Code::Conflict, detail).hint(Hint::JobRuns));
    }
    purge_matching(&state, &access, filter, "job.purge").await
}

/// Deletes all jobs that match and do not run, in blocks. 404 for a plugin that does not exist,
/// unless it has jobs.
pub async fn purge_matching(
    state: &AdminState,
    access: &TenantAccess<Developer>,
    filter: JobFilter,
    action: &str,
) -> Result<Json<PurgedView>, Problem> {
    let tenant = access.tenant.id;
    let change = state.change(&access.actor, action, subject(&filter));
    let filter = until(filter, change.at);
    let mut purged = 0;
    loop {
        let block = state.db.purge_jobs(tenant, &filter, BLOCK, &change).await?;
        purged += u64::from(block);
        if block < BLOCK {
            break;
        }
    }
    if purged > 0 {
        state.jobs.wake.jobs_added();
    }
    let plugin = filter.plugin.clone();
    let running = running(state, access, filter).await?;
    if purged == 0 && running == 0 {
        require_plugin(state, tenant, plugin.as_ref()).await?;
    }
    Ok(Json(PurgedView { purged, running }))
}

/// Runs all ended jobs that match again, in blocks. 404 for a plugin that does not exist, unless it
/// has such jobs.
pub async fn retry_matching(
    state: &AdminState,
    access: &TenantAccess<Developer>,
    filter: JobFilter,
    action: &str,
) -> Result<Json<RetriedView>, Problem> {
    let tenant = access.tenant.id;
    let change = state.change(&access.actor, action, subject(&filter));
    let filter = until(filter, change.at);
    // Jobs that fail again at once match again, so their number is not a reason to go on.
    let most = state.db.job_counts_of(tenant).await?.dead;
    let mut retried = 0;
    while retried < most {
        let wanted = u32::try_from(most - retried).map_or(BLOCK, |left| left.min(BLOCK));
        let block = state
            .db
            .retry_jobs(tenant, &filter, change.at, wanted, &change)
            .await?;
        retried += u64::from(block);
        if block > 0 {
            state.jobs.wake.jobs_added();
        }
        if block < wanted {
            break;
        }
    }
    if retried == 0 {
        require_plugin(state, tenant, filter.plugin.as_ref()).await?;
    }
    Ok(Json(RetriedView { retried }))
}

/// Leaves out jobs that are added from now on, so that a change of many jobs ends.
fn until(filter: JobFilter, now: Timestamp) -> JobFilter {
    let end = Timestamp(now.0.saturating_add(1));
    JobFilter {
        to: Some(filter.to.map_or(end, |to| to.min(end))),
        ..filter
    }
}

/// The number of running jobs that match.
async fn running(
    state: &AdminState,
    access: &TenantAccess<Developer>,
    filter: JobFilter,
) -> Result<u64, Problem> {
    if !filter.states.is_empty() && !filter.states.contains(&JobState::Running) {
        return Ok(0);
    }
    let filter = JobFilter {
        states: vec![JobState::Running],
        ..filter
    };
    // `jobs_running` bounds the number of running jobs of a tenant.
    let found = state
        .db
        .jobs(access.tenant.id, &filter, Page::first(u32::MAX))
        .await?;
    Ok(u64::try_from(found.len()).unwrap_or(u64::MAX))
}

async fn known(state: &AdminState, access: &TenantAccess<Developer>, id: JobId) -> Result<Job, Problem> {
    let found = state.db.job(access.tenant.id, id).await?;
    found
        .map(|(job, _)| job)
        .ok_or_else(|| Problem::not_found(Resource::Job))
}

/// The subject of a change of one job.
fn named(job: &Job) -> String {
    format!("{} {} {}", job.new.plugin, job.new.name, job.new.id)
}
