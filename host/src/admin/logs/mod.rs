//! Endpoint for log lines: lists them, or follows them as server-sent events.

mod follow;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{TenantAccess, Viewer};
use super::input::Params;
use super::page::{Paging, cursor};
use super::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TenantId};
use crate::domain::invocation::Triggered;
use crate::domain::log_line::Level;
use crate::http::problem::Problem;
use crate::ledger::LineOrigin;
use crate::storage::{LogFilter, LogPosition, Page, StoredLogLine};
use crate::wire::logs::LogLineView;
use crate::wire::page::Items;

/// The header with which a client of server-sent events resumes.
const LAST_EVENT_ID: &str = "last-event-id";

/// Filter for log lines.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Lines of this plugin.
    plugin: Option<PluginName>,
    /// Lines of this level or a more serious one.
    level: Option<Level>,
    /// Lines of this invocation.
    invocation: Option<InvocationId>,
    /// Lines written at this time or later.
    since: Option<Timestamp>,
    /// Sends recent lines, the oldest first, and then each new line, as server-sent events.
    #[serde(default)]
    follow: bool,
    /// `next` of the previous page. While following, the id of the last event, like the header
    /// `Last-Event-ID`.
    cursor: Option<String>,
    /// Items per page, or recent lines at the start: 1 to 200.
    limit: Option<u32>,
}

/// Lists log lines, the newest first, or follows them. While following, an event `line` holds a
/// line, and an event `missed` holds the number of skipped invocations. `Last-Event-ID` resumes
/// after an event, also after a restart of the host.
#[utoipa::path(get, path = "/tenants/{tenant}/logs", tag = "logs", params(LogQuery),
    responses((status = 200, content((Items<LogLineView> = "application/json"), (String = "text/event-stream")))),
    security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    headers: HeaderMap,
    Params(query): Params<LogQuery>,
) -> Result<Response, Problem> {
    let mut paging = Paging {
        cursor: query.cursor,
        limit: query.limit,
    };
    // The caller expects the latest lines.
    state.ledger.flush().await;
    let filter = LogFilter {
        plugin: query.plugin,
        level: query.level,
        invocation: query.invocation,
        since: query.since,
    };
    if query.follow {
        if let Some(id) = headers.get(LAST_EVENT_ID) {
            let id = id.to_str().unwrap_or_default();
            paging.cursor = Some(id.to_owned()).filter(|id| !id.is_empty());
        }
        return follow::follow(state, access, filter, &paging).await;
    }
    let page: Page<LogPosition> = paging.page()?;
    let tenant = access.tenant.id;
    let mut found = state.db.log_lines(tenant, &filter, page.clone()).await?;
    if found.is_empty() && page.after.is_none() {
        require_plugin(&state, tenant, filter.plugin.as_ref()).await?;
    }
    // One line more than a page has shows whether there is a next page.
    let wanted = usize::try_from(paging.limit()?).unwrap_or(usize::MAX);
    let more = found.len() > wanted;
    found.truncate(wanted);
    let next = found.last().filter(|_| more).map(|last| cursor(&last.place()));
    let items = views(&state, tenant, &filter, found).await?;
    Ok(Json(Items { items, next }).into_response())
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Rejects a filter for a plugin that does not exist. It is only called if nothing was found: lines
/// and records of a deleted plugin are listed.
pub(super) async fn require_plugin(
    state: &AdminState,
    tenant: TenantId,
    plugin: Option<&PluginName>,
) -> Result<(), Problem> {
    match plugin {
        Some(plugin) if !plugin.is_host() && state.db.plugin(tenant, plugin).await?.is_none() => {
            Err(Problem::not_found(crate::domain::resource::Resource::Plugin))
        }
        _ => Ok(()),
    }
}

/// Adds the invocations to log lines. The number of dropped lines of an invocation is shown at the
/// newest of its lines that the filter accepts, on any page.
async fn views(
    state: &AdminState,
    tenant: TenantId,
    filter: &LogFilter,
    lines: Vec<StoredLogLine>,
) -> Result<Vec<LogLineView>, Problem> {
    let mut invocations: HashMap<InvocationId, (Option<LineOrigin>, Option<u32>)> = HashMap::new();
    let mut views = Vec::with_capacity(lines.len());
    for stored in lines {
        let id = stored.line.invocation;
        let (origin, newest) = match invocations.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                let record = state.db.invocation(tenant, id).await?;
                let origin = record.map(|record| LineOrigin::of(&record, true));
                let newest = match &origin {
                    Some(origin) if origin.dropped > 0 => newest_line(state, tenant, filter, id).await?,
                    _ => None,
                };
                vacant.insert((origin, newest))
            }
        };
        let mut origin = origin.clone();
        if let Some(origin) = &mut origin
            && *newest != Some(stored.position)
        {
            origin.dropped = 0;
        }
        views.push(LogLineView::new(stored, origin));
    }
    Ok(views)
}

/// The newest line of an invocation that the filter accepts.
async fn newest_line(
    state: &AdminState,
    tenant: TenantId,
    filter: &LogFilter,
    invocation: InvocationId,
) -> Result<Option<u32>, Problem> {
    let of_invocation = LogFilter {
        invocation: Some(invocation),
        ..filter.clone()
    };
    let newest = state.db.log_lines(tenant, &of_invocation, Page::first(1)).await?;
    Ok(newest.first().map(|line| line.position))
}

impl LogLineView {
    fn new(stored: StoredLogLine, origin: Option<LineOrigin>) -> Self {
        let line = stored.line;
        let dropped = origin.as_ref().map(|origin| origin.dropped);
        let triggered = origin.as_ref().map(|origin| &origin.triggered);
        let method = triggered.and_then(|triggered| Some(triggered.method()?.to_string()));
        let route = triggered.and_then(|triggered| Some(triggered.route()?.to_owned()));
        let function = triggered.and_then(|triggered| triggered.function().cloned());
        let job = triggered.and_then(|triggered| triggered.job().cloned());
        let attempt = triggered.and_then(Triggered::attempt);
        Self {
            plugin: line.plugin,
            invocation: line.invocation,
            at: line.at,
            level: line.level,
            message: line.message,
            fields: line.fields,
            method,
            route,
            function,
            job,
            attempt,
            dropped: dropped.filter(|dropped| *dropped > 0),
        }
    }
}
