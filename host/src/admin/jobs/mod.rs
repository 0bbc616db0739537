//! Endpoints for jobs: lists, one job with its attempts, counts, and changes.

mod change;
mod export;
pub(super) mod filter;
mod pause;
pub(super) mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) use change::{purge_matching, retry_matching};

use super::access::{Right, TenantAccess, Viewer};
use super::input::{At, NoParams, Params};
use super::logs::require_plugin;
use super::page::Paging;
use super::state::AdminState;
use crate::domain::id::{JobId, JobName, PluginName, TenantId};
use crate::domain::job::Job;
use crate::domain::resource::Resource;
use crate::domain::role::Role;
use crate::http::problem::Problem;
use crate::storage::{JobFilter, JobPosition};
use crate::tenants::HoldReason;
use crate::wire::jobs::{JobDetail, JobKindView, JobSummaryView, JobView, StateCounts};
use crate::wire::page::Items;
use filter::JobQuery;
use view::Content;

/// Lists jobs, the newest first. Viewers do not see keys and error texts. Lists have no payloads.
#[utoipa::path(get, path = "/tenants/{tenant}/jobs", tag = "jobs", params(JobQuery),
    responses((status = 200, body = Items<JobView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<JobQuery>,
) -> Result<Json<Items<JobView>>, Problem> {
    let (filter, paging) = query.read()?;
    listed(&state, &access, &filter, &paging).await
}

/// Shows a job with its payload, why it exists and what it waits for, and its attempts with their
/// errors. Viewers do not see payload, keys and error texts.
#[utoipa::path(get, path = "/tenants/{tenant}/jobs/{id}", tag = "jobs",
    responses((status = 200, body = JobDetail)), security(("token" = ["viewer"])))]
async fn get(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(id): At<JobId>,
) -> Result<Json<JobDetail>, Problem> {
    shown(&state, &access, id).await
}

/// Counts a tenant's jobs by plugin, kind and state. Kinds of jobs that the active versions declare
/// are listed although they have no jobs.
#[utoipa::path(get, path = "/tenants/{tenant}/jobs/summary", tag = "jobs",
    responses((status = 200, body = JobSummaryView)), security(("token" = ["viewer"])))]
async fn summary(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<JobSummaryView>, Problem> {
    let tenant = access.tenant.id;
    let counts = state.db.job_counts_of(tenant).await?;
    let mut kinds: BTreeMap<(PluginName, JobName), StateCounts> = BTreeMap::new();
    for kind in state.lifecycle.job_kinds(tenant) {
        kinds.entry(kind).or_default();
    }
    for (plugin, paused) in state.db.paused_jobs(tenant).await? {
        for job in paused.jobs {
            kinds.entry((plugin.clone(), job)).or_default();
        }
    }
    // One at a time: this reads as many rows as the tenant has jobs.
    let counting = state.summaries.lock(tenant).await;
    let by_kind = state.db.jobs_by_kind(tenant).await?;
    drop(counting);
    for of_kind in by_kind {
        let counts = kinds.entry((of_kind.plugin, of_kind.name)).or_default();
        *counts.of(of_kind.state) += of_kind.count;
    }
    let view = |((plugin, job), states): ((PluginName, JobName), StateCounts)| JobKindView {
        hold: hold(&state, tenant, &plugin, &job).map(|hold| hold.to_string()),
        plugin,
        job,
        states,
    };
    Ok(Json(JobSummaryView {
        live: counts.live,
        running: counts.running,
        dead: counts.dead,
        oldest_ready: counts.oldest_ready,
        kinds: kinds.into_iter().map(view).collect(),
    }))
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new()
        .routes(routes!(list, change::purge))
        .routes(routes!(get))
        .routes(routes!(summary))
        .routes(routes!(export::export))
        .routes(routes!(change::retry))
        .routes(routes!(change::cancel))
        .routes(routes!(pause::pause_all, pause::resume_all))
        .routes(routes!(pause::pause, pause::resume))
}

/// A page of the jobs that match.
pub(super) async fn listed<R: Right>(
    state: &AdminState,
    access: &TenantAccess<R>,
    filter: &JobFilter,
    paging: &Paging,
) -> Result<Json<Items<JobView>>, Problem> {
    let tenant = access.tenant.id;
    let page = paging.page()?;
    let found = state.db.jobs(tenant, filter, page.clone()).await?;
    if found.is_empty() && page.after.is_none() {
        require_plugin(state, tenant, filter.plugin.as_ref()).await?;
    }
    let content = content(access);
    let position = |job: &Job| JobPosition(job.new.id);
    Ok(Json(Items::new(found, &page, position, |job| {
        let hold = hold(state, tenant, &job.new.plugin, &job.new.name);
        JobView::new(job, hold.as_ref(), content)
    })))
}

/// A job as its caller may see it.
async fn shown<R: Right>(
    state: &AdminState,
    access: &TenantAccess<R>,
    id: JobId,
) -> Result<Json<JobDetail>, Problem> {
    let found = state.db.job(access.tenant.id, id).await?;
    let (job, attempts) = found.ok_or_else(|| Problem::not_found(Resource::Job))?;
    let hold = hold(state, access.tenant.id, &job.new.plugin, &job.new.name);
    Ok(Json(JobDetail::new(
        job,
        attempts,
        hold.as_ref(),
        content(access),
    )))
}

fn hold(state: &AdminState, tenant: TenantId, plugin: &PluginName, job: &JobName) -> Option<HoldReason> {
    state.lifecycle.job_hold(tenant, plugin, job)
}

/// What plugins wrote is for those who develop them.
pub(super) fn content<R: Right>(access: &TenantAccess<R>) -> Content {
    match access.role.may(Role::Developer) {
        true => Content::Shown,
        false => Content::Hidden,
    }
}
