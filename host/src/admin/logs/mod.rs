//! Log lines: read back, or followed as server-sent events.

mod follow;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{TenantAccess, Viewer};
use super::input::Params;
use super::page::{Items, Paging, cursor};
use super::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, InvocationId, PluginName, TenantId};
use crate::domain::log_line::Level;
use crate::http::problem::Problem;
use crate::ledger::LineOrigin;
use crate::storage::{LogFilter, LogPosition, Page, StoredLogLine};

/// The header with which a client of server-sent events goes on.
const LAST_EVENT_ID: &str = "last-event-id";

/// A line of a plugin's log.
#[derive(Serialize, ToSchema)]
pub struct LogLineView {
    /// Which plugin wrote it.
    plugin: PluginName,
    /// During which invocation.
    invocation: InvocationId,
    /// When.
    at: Timestamp,
    /// How serious it is.
    level: Level,
    /// The text.
    message: String,
    /// Further values, name and value.
    fields: Vec<(String, String)>,
    /// The method of the invocation's request; absent if its record is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    /// The route that matched; absent if the invocation's record is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<String>,
    /// The function that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<FunctionName>,
    /// How many lines of this invocation were dropped because a limit was reached (`log_lines`,
    /// `log_bytes`, or the tenant's rate); on the last line that is listed of it, and absent if
    /// there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<u32>,
}

/// Which lines are wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    /// Of one plugin.
    plugin: Option<PluginName>,
    /// This level and more serious ones.
    level: Option<Level>,
    /// Of one invocation.
    invocation: Option<InvocationId>,
    /// Written at this moment or later.
    since: Option<Timestamp>,
    /// Recent lines, the oldest first, and then every new one, as server-sent events.
    #[serde(default)]
    follow: bool,
    /// `next` of the page before. While following: the id of the last event, to go on after it, like the header
    /// `Last-Event-ID`.
    cursor: Option<String>,
    /// Items of a page, or recent lines to begin with: 1 to 200.
    limit: Option<u32>,
}

/// Lists log lines, the newest first; or follows them. While following, each event `line` holds a line and each event
/// `missed` the number of invocations that went by unseen. `Last-Event-ID` goes on after an event, also after a restart
/// of the host.
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
    // Who asks wants to see what was just logged.
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
        require_plugin(&state, tenant, &filter).await?;
    }
    // One more than is wanted tells whether more follows, and is not listed.
    let wanted = usize::try_from(paging.limit()?).unwrap_or(usize::MAX);
    let more = found.len() > wanted;
    found.truncate(wanted);
    let next = found.last().filter(|_| more).map(|last| cursor(&last.place()));
    let mut items = views(&state, tenant, found.into_iter().rev()).await?;
    items.reverse();
    Ok(Json(Items { items, next }).into_response())
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Refuses a filter for a plugin that is not there. Only asked if no line was found: those of a
/// deleted plugin are listed.
async fn require_plugin(state: &AdminState, tenant: TenantId, filter: &LogFilter) -> Result<(), Problem> {
    match &filter.plugin {
        Some(plugin) if state.db.plugin(tenant, plugin).await?.is_none() => Err(Problem::not_found("plugin")),
        _ => Ok(()),
    }
}

/// Lines with their invocations. `lines` are in the order in which they are shown.
async fn views(
    state: &AdminState,
    tenant: TenantId,
    lines: impl DoubleEndedIterator<Item = StoredLogLine>,
) -> Result<Vec<LogLineView>, Problem> {
    let mut origins: HashMap<InvocationId, Option<LineOrigin>> = HashMap::new();
    let mut views = Vec::new();
    // From the end, so that the first one of an invocation is the last that is shown.
    for stored in lines.rev() {
        let origin = match origins.entry(stored.line.invocation) {
            Entry::Occupied(known) => {
                let mut origin = known.get().clone();
                if let Some(origin) = &mut origin {
                    origin.dropped = 0;
                }
                origin
            }
            Entry::Vacant(vacant) => {
                let record = state.db.invocation(tenant, stored.line.invocation).await?;
                let origin = record.map(|record| LineOrigin::of(&record, true));
                vacant.insert(origin).clone()
            }
        };
        views.push(LogLineView::new(stored, origin));
    }
    views.reverse();
    Ok(views)
}

impl LogLineView {
    fn new(stored: StoredLogLine, origin: Option<LineOrigin>) -> Self {
        let line = stored.line;
        let dropped = origin.as_ref().map(|origin| origin.dropped);
        let triggered = origin.as_ref().map(|origin| &origin.triggered);
        let method = triggered.and_then(|triggered| Some(triggered.method()?.to_string()));
        let route = triggered.and_then(|triggered| Some(triggered.route()?.to_owned()));
        let function = triggered.and_then(|triggered| triggered.function().cloned());
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
            dropped: dropped.filter(|dropped| *dropped > 0),
        }
    }
}
