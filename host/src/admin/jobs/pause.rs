//! Endpoints that pause and resume jobs: all of a plugin, or those of one kind.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::super::access::{Developer, TenantAccess};
use super::super::input::{At, NoParams};
use super::super::state::AdminState;
use crate::domain::id::{JobName, PluginName, TenantId};
use crate::domain::resource::Resource;
use crate::http::problem::Problem;
use crate::storage::{JobFilter, Page};
use crate::wire::jobs::PausedView;

/// Pauses all jobs of a plugin. Jobs that run end, waiting ones stay, and new ones are added and
/// wait. Schedules of the plugin skip their times. Pausing paused jobs changes nothing.
#[utoipa::path(post, path = "/tenants/{tenant}/plugins/{plugin}/jobs/pause", tag = "jobs",
    responses((status = 200, body = PausedView)), security(("token" = ["developer"])))]
pub async fn pause_all(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
) -> Result<Json<PausedView>, Problem> {
    set_paused(&state, &access, plugin, None, true).await
}

/// Resumes the jobs of a plugin. Kinds that were paused on their own stay paused.
#[utoipa::path(delete, path = "/tenants/{tenant}/plugins/{plugin}/jobs/pause", tag = "jobs",
    responses((status = 200, body = PausedView)), security(("token" = ["developer"])))]
pub async fn resume_all(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
) -> Result<Json<PausedView>, Problem> {
    set_paused(&state, &access, plugin, None, false).await
}

/// Pauses the jobs of one kind.
#[utoipa::path(post, path = "/tenants/{tenant}/plugins/{plugin}/jobs/{job}/pause", tag = "jobs",
    responses((status = 200, body = PausedView)), security(("token" = ["developer"])))]
pub async fn pause(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    At(job): At<JobName>,
) -> Result<Json<PausedView>, Problem> {
    set_paused(&state, &access, plugin, Some(job), true).await
}

/// Resumes the jobs of one kind. They stay paused while all jobs of the plugin are (`all`).
#[utoipa::path(delete, path = "/tenants/{tenant}/plugins/{plugin}/jobs/{job}/pause", tag = "jobs",
    responses((status = 200, body = PausedView)), security(("token" = ["developer"])))]
pub async fn resume(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    At(job): At<JobName>,
) -> Result<Json<PausedView>, Problem> {
    set_paused(&state, &access, plugin, Some(job), false).await
}

async fn set_paused(
    state: &AdminState,
    access: &TenantAccess<Developer>,
    plugin: PluginName,
    job: Option<JobName>,
    paused: bool,
) -> Result<Json<PausedView>, Problem> {
    let tenant = access.tenant.id;
    if state.db.plugin(tenant, &plugin).await?.is_none() {
        return Err(Problem::not_found(Resource::Plugin));
    }
    if let Some(job) = &job
        && paused
        && !is_known(state, tenant, &plugin, job).await?
    {
        return Err(Problem::not_found(Resource::JobKind));
    }
    let subject = match &job {
        None => plugin.to_string(),
        Some(job) => format!("{plugin} {job}"),
    };
    let action = match paused {
        true => "job.pause",
        false => "job.resume",
    };
    let change = state.change(&access.actor, action, subject);
    let changed = state
        .db
        .pause_jobs(tenant, &plugin, job.as_ref(), paused, &change)
        .await?;
    if changed {
        state.lifecycle.refresh(tenant).await;
        state.jobs.wake.jobs_added();
    }
    let now = state.db.paused_jobs(tenant).await?.remove(&plugin);
    let now = now.unwrap_or_default();
    Ok(Json(PausedView {
        plugin,
        all: now.all,
        jobs: now.jobs.into_iter().collect(),
        changed,
    }))
}

/// Whether a plugin has jobs of this kind: its active version declares it, or some are stored. A
/// plugin whose version is not served may have any.
async fn is_known(
    state: &AdminState,
    tenant: TenantId,
    plugin: &PluginName,
    job: &JobName,
) -> Result<bool, Problem> {
    if state.lifecycle.declares_job(tenant, plugin, job).unwrap_or(true) {
        return Ok(true);
    }
    let filter = JobFilter {
        plugin: Some(plugin.clone()),
        name: Some(job.clone()),
        ..JobFilter::default()
    };
    Ok(!state.db.jobs(tenant, &filter, Page::first(1)).await?.is_empty())
}
