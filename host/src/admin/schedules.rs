//! Endpoints for schedules: when they run, whether they do, and running one now.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{Developer, TenantAccess, Viewer};
use super::input::{At, NoParams};
use super::state::AdminState;
use crate::domain::id::{PluginName, ScheduleName};
use crate::domain::resource::Resource;
use crate::http::problem::Problem;
use crate::jobs::UpcomingSchedule;
use crate::storage::{Added, ReportedSchedule, ScheduledRun};
use crate::wire::page::Items;
use crate::wire::schedules::{ScheduleView, ScheduledRunView, StartedView};

/// The next times that are shown.
const NEXT_RUNS: usize = 5;

/// Lists the schedules of the active versions by plugin and name, with their next and last runs. A
/// schedule of a plugin that is disabled or suspended, or whose job is paused, skips its times:
/// `hold` says why.
#[utoipa::path(get, path = "/tenants/{tenant}/schedules", tag = "schedules",
    responses((status = 200, body = Items<ScheduleView>)), security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
) -> Result<Json<Items<ScheduleView>>, Problem> {
    let tenant = access.tenant.id;
    let stored = state.db.schedules_of(tenant).await?.into_iter();
    let mut stored: HashMap<(PluginName, ScheduleName), ReportedSchedule> = stored
        .map(|known| ((known.state.plugin.clone(), known.state.name.clone()), known))
        .collect();
    let upcoming = state.jobs.scheduler.upcoming(tenant, NEXT_RUNS).into_iter();
    let views = upcoming.map(|schedule| {
        let key = (schedule.plugin.clone(), schedule.entry.spec.name.clone());
        ScheduleView::new(schedule, stored.remove(&key))
    });
    Ok(Json(Items::all(views.collect())))
}

/// Adds the job of a schedule now, also while its times are skipped. The times of the schedule stay
/// as they are. If the previous job is still live and the schedule skips times while it is, the
/// answer names that job (200).
#[utoipa::path(post, path = "/tenants/{tenant}/plugins/{plugin}/schedules/{schedule}/run", tag = "schedules",
    responses((status = 201, body = StartedView, description = "A new job"),
        (status = 200, body = StartedView, description = "The previous job is still live")),
    security(("token" = ["developer"])))]
async fn run(
    access: TenantAccess<Developer>,
    _: NoParams,
    State(state): State<Arc<AdminState>>,
    At(plugin): At<PluginName>,
    At(name): At<ScheduleName>,
) -> Result<(StatusCode, Json<StartedView>), Problem> {
    let tenant = access.tenant.id;
    if state.db.plugin(tenant, &plugin).await?.is_none() {
        return Err(Problem::not_found(Resource::Plugin));
    }
    let change = state.change(&access.actor, "schedule.run", format!("{plugin} {name}"));
    let added = state
        .jobs
        .scheduler
        .run_now(tenant, &plugin, &name, &change)
        .await?;
    Ok(match added {
        Added::New(job_id) => (StatusCode::CREATED, Json(StartedView { job_id, added: true })),
        Added::Exists(job_id) => (StatusCode::OK, Json(StartedView { job_id, added: false })),
    })
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(run))
}

impl ScheduleView {
    /// A schedule of an active version, with what is stored of it.
    fn new(schedule: UpcomingSchedule, known: Option<ReportedSchedule>) -> Self {
        let UpcomingSchedule {
            plugin,
            entry,
            last_due,
            next,
            skips,
        } = schedule;
        let spec = &entry.spec;
        let (stored_due, last) = known.map(|known| (known.state.last_due, known.last)).unzip();
        Self {
            plugin,
            name: spec.name.clone(),
            job: spec.job.clone(),
            cron: spec.cron.clone(),
            zone: spec.zone.clone(),
            catch_up: spec.catch_up,
            overlap: spec.overlap,
            hold: skips.map(|hold| hold.to_string()),
            next_runs: next,
            // Another node may have handled the last time.
            last_due: stored_due.max(last_due),
            last_run: last.flatten().map(ScheduledRunView::from),
        }
    }
}

impl From<ScheduledRun> for ScheduledRunView {
    fn from(run: ScheduledRun) -> Self {
        let ScheduledRun {
            job,
            due,
            state,
            ended_at,
        } = run;
        Self {
            job_id: job,
            due_at: due,
            state,
            ended_at,
        }
    }
}
