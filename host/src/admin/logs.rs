//! Log lines: read back, or followed as server-sent events.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::time::{Interval, interval};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::access::{TenantAccess, Viewer};
use super::error::invalid;
use super::input::Params;
use super::page::{Items, Paging, cursor};
use super::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TokenId};
use crate::domain::log_line::Level;
use crate::http::problem::{Code, Problem};
use crate::ledger::{Followed, Follower};
use crate::storage::{LogFilter, LogPosition, Page, StoredLogLine};
use crate::tenants::budget::{Charge, Exhausted};

/// How often it is looked whether the token of a follower still works.
const TOKEN_CHECK: Duration = Duration::from_secs(10);

/// `Retry-After` if there are too many followers.
const FOLLOW_RETRY: Duration = Duration::from_secs(5);

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
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page, or recent lines to begin with: 1 to 200.
    limit: Option<u32>,
}

/// Lists log lines, the newest first; or follows them. While following, each event `line` holds a line and each event
/// `missed` the number of invocations that went by unseen.
#[utoipa::path(get, path = "/tenants/{tenant}/logs", tag = "logs", params(LogQuery),
    responses((status = 200, content((Items<LogLineView> = "application/json"), (String = "text/event-stream")))),
    security(("token" = ["viewer"])))]
async fn list(
    access: TenantAccess<Viewer>,
    State(state): State<Arc<AdminState>>,
    Params(query): Params<LogQuery>,
) -> Result<Response, Problem> {
    let paging = Paging {
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
        if paging.cursor.is_some() {
            return Err(invalid(
                "cursor: a log is followed from now on, not from a cursor",
            ));
        }
        return follow(state, access, filter, paging.limit()?).await;
    }
    let page: Page<LogPosition> = paging.page()?;
    let found = state
        .db
        .log_lines(access.tenant.id, &filter, page.clone())
        .await?;
    Ok(Json(Items::new(found, &page, StoredLogLine::place, LogLineView::from)).into_response())
}

pub fn router() -> OpenApiRouter<Arc<AdminState>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What a follower's stream holds until the client goes.
struct Following {
    state: Arc<AdminState>,
    token: TokenId,
    recent: VecDeque<StoredLogLine>,
    seen: HashSet<(InvocationId, u32)>,
    follower: Follower,
    token_check: Interval,
    _held: Charge,
}

async fn follow(
    state: Arc<AdminState>,
    access: TenantAccess<Viewer>,
    filter: LogFilter,
    recent: u32,
) -> Result<Response, Problem> {
    let held = state.shares.of(access.holder).followers.charge(1);
    let held = held.map_err(|exhausted| {
        let detail = match exhausted {
            Exhausted::Tenant => "as many logs are being followed as one tenant may; end one of them first",
            Exhausted::Shared => "as many logs are being followed as this host allows",
        };
        Problem::new(Code::Overloaded, detail).retry_after(FOLLOW_RETRY)
    })?;
    // First follow, then read: a line that comes in between is in both and left out the second time.
    let follower = state.ledger.follow(access.tenant.id, filter.clone());
    let mut recent = state
        .db
        .log_lines(access.tenant.id, &filter, Page::first(recent))
        .await?;
    recent.reverse();
    let following = Following {
        token: access.token,
        seen: recent
            .iter()
            .map(|stored| (stored.line.invocation, stored.position))
            .collect(),
        recent: recent.into(),
        follower,
        token_check: interval(TOKEN_CHECK),
        _held: held,
        state,
    };
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok::<_, Infallible>(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

impl Following {
    /// The next event; `None` when the host shuts down or the token no longer works.
    async fn next(&mut self) -> Option<Event> {
        if let Some(line) = self.recent.pop_front() {
            return Some(line_event(line));
        }
        loop {
            tokio::select! {
                biased;
                () = self.state.draining.cancelled() => return None,
                _ = self.token_check.tick() => {
                    let token = self.state.db.token(self.token).await.ok().flatten()?;
                    if !token.is_valid(self.state.clock.now()) {
                        return None;
                    }
                }
                followed = self.follower.next() => match followed? {
                    Followed::Line(line) if self.seen.remove(&(line.line.invocation, line.position)) => {}
                    Followed::Line(line) => return Some(line_event(line)),
                    Followed::Missed(count) => {
                        return Some(Event::default().event("missed").data(count.to_string()));
                    }
                },
            }
        }
    }
}

impl From<StoredLogLine> for LogLineView {
    fn from(stored: StoredLogLine) -> Self {
        let line = stored.line;
        Self {
            plugin: line.plugin,
            invocation: line.invocation,
            at: line.at,
            level: line.level,
            message: line.message,
            fields: line.fields,
        }
    }
}

fn line_event(line: StoredLogLine) -> Event {
    let id = cursor(&line.place());
    // JSON escapes line breaks, so that a plugin cannot end the event and begin one of its own.
    let data = serde_json::to_string(&LogLineView::from(line)).unwrap_or_default();
    Event::default().event("line").id(id).data(data)
}
