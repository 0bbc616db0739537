//! The export of a tenant's jobs, one JSON object per line.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::super::access::{Developer, TenantAccess};
use super::super::input::Params;
use super::super::logs::require_plugin;
use super::super::state::AdminState;
use super::filter::JobSelection;
use super::hold;
use super::view::Content;
use crate::domain::id::TenantId;
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::storage::{DbError, JobFilter, JobPosition, Page};
use crate::tenants::budget::{Charge, Exhausted};
use crate::wire::jobs::JobDetail;

const MEDIA_TYPE: &str = "application/x-ndjson";

/// Jobs that are in memory at once, with their payloads.
const JOBS_AT_ONCE: u32 = 20;

/// `Retry-After` if too many exports run.
const RETRY: Duration = Duration::from_secs(5);

/// The state of an export.
struct Export {
    state: Arc<AdminState>,
    tenant: TenantId,
    filter: JobFilter,
    /// The last job that was written.
    after: Option<JobPosition>,
    /// Whether jobs may be left.
    more: bool,
    _held: Charge,
}

/// Exports jobs with payloads and attempts, the newest first: one JSON object per line, each in the
/// form of `GET …/jobs/{id}`. Without a filter, all jobs of the tenant. The body ends early if the
/// database fails.
#[utoipa::path(get, path = "/tenants/{tenant}/jobs/export", tag = "jobs", params(JobSelection),
    responses((status = 200, body = JobDetail, content_type = "application/x-ndjson")),
    security(("token" = ["developer"])))]
pub async fn export(
    access: TenantAccess<Developer>,
    State(state): State<Arc<AdminState>>,
    Params(selection): Params<JobSelection>,
) -> Result<Response, Problem> {
    let filter = selection.read()?;
    let held = state.shares.of(access.holder).exports.charge(1);
    let held = held.map_err(|exhausted| {
        let detail = match exhausted {
            Exhausted::Tenant => {
                "the tenant or the operator's token has as many exports under way as allowed"
            }
            Exhausted::Shared => "this host has as many exports under way as allowed",
        };
        Problem::new(Code::Overloaded, detail).retry_after(RETRY)
    })?;
    let mut export = Export {
        tenant: access.tenant.id,
        state,
        filter,
        after: None,
        more: true,
        _held: held,
    };
    // The first lines are read before the response begins, so that a failure is still a problem.
    let first = export.next().await?;
    if first.is_empty() && !export.more {
        require_plugin(&export.state, export.tenant, export.filter.plugin.as_ref()).await?;
    }
    let rest = stream::try_unfold((Some(first), export), |(first, mut export)| async move {
        let lines = match first {
            Some(first) => first,
            None if export.more => export.next().await?,
            None => return Ok::<_, DbError>(None),
        };
        Ok(Some((Bytes::from(lines), (None, export))))
    });
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], Body::from_stream(rest)).into_response())
}

impl Export {
    /// The next lines.
    async fn next(&mut self) -> Result<Vec<u8>, DbError> {
        let page = Page {
            after: self.after,
            limit: JOBS_AT_ONCE,
        };
        let db = self.state.db.clone();
        let jobs = db.jobs(self.tenant, &self.filter, page).await?;
        self.more = jobs.len() >= usize::try_from(JOBS_AT_ONCE).unwrap_or(usize::MAX);
        self.after = jobs.last().map(|job| JobPosition(job.new.id)).or(self.after);
        let mut lines = Vec::new();
        for listed in jobs {
            // The job may have been deleted meanwhile.
            let Some((job, attempts)) = db.job(self.tenant, listed.new.id).await? else {
                continue;
            };
            let hold = hold(&self.state, self.tenant, &job.new.plugin, &job.new.name);
            let detail = JobDetail::new(job, attempts, hold.as_ref(), Content::Shown);
            // Views always have a JSON form, which has no line breaks.
            serde_json::to_writer(&mut lines, &detail).map_err(|error| DbError::corrupt("jobs", error))?;
            lines.push(b'\n');
        }
        Ok(lines)
    }
}
