//! Follows a log as server-sent events, from recent lines or from the client's last event.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::time::sleep;

use super::{LogLineView, require_plugin, views};
use crate::admin::access::{TenantAccess, Viewer};
use crate::admin::page::{Paging, cursor};
use crate::admin::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, TenantId, TokenId};
use crate::domain::problem::Code;
use crate::http::problem::Problem;
use crate::ledger::{Followed, Follower};
use crate::storage::{LogFilter, LogPosition, Page, StoredLogLine, WrittenAfter};
use crate::tenants::budget::{Charge, Exhausted};

/// How often the token of a follower is checked again.
const TOKEN_CHECK: Duration = Duration::from_secs(10);

/// `Retry-After` if the limit of followers is reached.
const FOLLOW_RETRY: Duration = Duration::from_secs(5);

/// Lines per query for a client that resumes.
const LINES_AT_ONCE: u32 = 200;

/// The most queries for a client that resumes. Further lines are counted, and can be listed page by
/// page.
const MOST_READS: u32 = 25;

/// The state of a follower's stream.
struct Following {
    state: Arc<AdminState>,
    tenant: TenantId,
    token: TokenId,
    filter: LogFilter,
    /// Events that were read and are not sent yet.
    ready: VecDeque<(LogLineView, LogPosition)>,
    /// Older lines that must be read before new lines are sent.
    rest: Option<Rest>,
    /// Lines that were read from the database. The follower may return them a second time.
    seen: HashSet<(InvocationId, u32)>,
    follower: Follower,
    /// Time of the next token check, on the monotonic clock.
    token_check_due: Duration,
    _held: Charge,
}

/// Lines that a client has not received because its stream broke.
#[derive(Clone, Copy)]
struct Rest {
    after: WrittenAfter,
    reads_left: u32,
}

/// Follows the log of a tenant: after the event in the cursor of `paging`, otherwise from recent
/// lines.
pub(super) async fn follow(
    state: Arc<AdminState>,
    access: TenantAccess<Viewer>,
    filter: LogFilter,
    paging: &Paging,
) -> Result<Response, Problem> {
    let last_seen = paging.page::<LogPosition>()?.after;
    let held = state.shares.of(access.holder).followers.charge(1);
    let held = held.map_err(|exhausted| {
        let detail = match exhausted {
            Exhausted::Tenant => {
                "the tenant or the operator's token follows as many logs as allowed; end one of them first"
            }
            Exhausted::Shared => "this host has as many log followers as allowed",
        };
        Problem::new(Code::Overloaded, detail).retry_after(FOLLOW_RETRY)
    })?;
    let tenant = access.tenant.id;
    // The follower is created before lines are read, so that no line is missed. Duplicates are
    // filtered.
    let follower = state.ledger.follow(tenant, filter.clone());
    let mut following = Following {
        tenant,
        token: access.token,
        ready: VecDeque::new(),
        rest: None,
        seen: HashSet::new(),
        follower,
        token_check_due: Duration::ZERO,
        _held: held,
        filter,
        state,
    };
    match last_seen {
        Some(position) => following.go_on(position).await?,
        None => following.begin(paging.limit()?).await?,
    }
    let events = stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok::<_, Infallible>(event), following))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

impl Following {
    /// Starts with recent lines.
    async fn begin(&mut self, recent: u32) -> Result<(), Problem> {
        let page = Page::first(recent);
        let mut lines = self.state.db.log_lines(self.tenant, &self.filter, page).await?;
        if lines.is_empty() {
            require_plugin(&self.state, self.tenant, self.filter.plugin.as_ref()).await?;
        }
        // Sorts by the order of writing, like new lines, because a client resumes in that order.
        lines.sort_unstable_by_key(|stored| stored.written);
        self.add(lines).await
    }

    /// Resumes after a line.
    async fn go_on(&mut self, position: LogPosition) -> Result<(), Problem> {
        let written = self.state.db.log_line_written(self.tenant, position).await?;
        let after = match written {
            // Lines are found by the order of writing: an invocation's lines are written when it
            // has ended.
            Some(written) => WrittenAfter {
                written,
                at_least: None,
            },
            // The line was deleted, so nearly all lines that were written before it are deleted
            // too.
            None => WrittenAfter {
                written: 0,
                at_least: Some(Timestamp(position.at.0.saturating_add(1))),
            },
        };
        self.rest = Some(Rest {
            after,
            reads_left: MOST_READS,
        });
        Ok(())
    }

    /// Queues lines for sending.
    async fn add(&mut self, lines: Vec<StoredLogLine>) -> Result<(), Problem> {
        let places: Vec<LogPosition> = lines.iter().map(StoredLogLine::place).collect();
        self.seen
            .extend(places.iter().map(|place| (place.invocation, place.position)));
        let views = views(&self.state, self.tenant, &self.filter, lines).await?;
        self.ready.extend(views.into_iter().zip(places));
        Ok(())
    }

    /// Reads the next lines that the client has not received. `Some` is the number of skipped
    /// invocations.
    async fn read_rest(&mut self, rest: Rest) -> Result<Option<u64>, Problem> {
        self.rest = None;
        let Rest {
            mut after,
            reads_left,
        } = rest;
        let db = self.state.db.clone();
        if reads_left == 0 {
            let left_out = db.invocations_written(self.tenant, &self.filter, after).await?;
            return Ok(Some(left_out).filter(|count| *count > 0));
        }
        let found = db
            .log_lines_written(self.tenant, &self.filter, after, LINES_AT_ONCE)
            .await?;
        if let Some(reached) = found.reached {
            after.written = reached;
            self.rest = Some(Rest {
                after,
                reads_left: reads_left - 1,
            });
        }
        self.add(found.lines).await?;
        Ok(None)
    }

    /// Checks the token and sets the time of the next check.
    async fn token_works(&mut self) -> bool {
        self.token_check_due = self.state.clock.monotonic().saturating_add(TOKEN_CHECK);
        let token = self.state.db.token(self.token).await.ok().flatten();
        token.is_some_and(|token| token.is_valid(self.state.clock.now()))
    }

    /// The next event; `None` if the host shuts down, the token is invalid or the database does not
    /// answer.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.state.clock.monotonic() >= self.token_check_due && !self.token_works().await {
                return None;
            }
            if let Some((line, place)) = self.ready.pop_front() {
                return Some(line_event(&line, &place));
            }
            if let Some(rest) = self.rest {
                if let Some(left_out) = self.read_rest(rest).await.ok()? {
                    return Some(missed_event(left_out));
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.state.draining.cancelled() => return None,
                // Wakes a stream without new lines, so that its token is checked.
                () = sleep(TOKEN_CHECK) => {}
                followed = self.follower.next() => match followed? {
                    Followed::Missed(count) => return Some(missed_event(count)),
                    Followed::Line(line) => {
                        let place = line.stored.place();
                        if !self.seen.remove(&(place.invocation, place.position)) {
                            let view = LogLineView::new(line.stored, Some(line.origin));
                            return Some(line_event(&view, &place));
                        }
                    }
                },
            }
        }
    }
}

fn missed_event(invocations: u64) -> Event {
    Event::default().event("missed").data(invocations.to_string())
}

fn line_event(line: &LogLineView, place: &LogPosition) -> Event {
    // JSON escapes line breaks, so a plugin cannot forge an event.
    let data = serde_json::to_string(line).unwrap_or_default();
    Event::default().event("line").id(cursor(place)).data(data)
}
