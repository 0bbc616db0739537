//! Cursors: results that are read in pieces.
//!
//! A statement of SQLite belongs to a connection, so a thread keeps both while the cursor is open
//! and returns rows on request. Cursors have their own bounded connections and threads.

use std::sync::Arc;
use std::sync::mpsc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::super::engine::OpenCursor;
use super::super::error::DatabaseError;
use super::super::statement::{Bounds, Rows, Scope, Statement, Value};
use super::connection::{Allowance, Connection};
use super::failure;
use super::job::{Cancel, CancelOnDrop, GRACE, Threads, with_connection};
use super::pool::Lease;
use super::run::{Failed, Reading, bind, broken_or, prepare};
use crate::fair_semaphore::Permit;
use crate::sqlite::memory;

/// An open cursor. Dropping it stops the statement.
pub(super) struct SqliteCursor {
    columns: Vec<String>,
    scope: Scope,
    state: State,
}

enum State {
    Open(Stream),
    Finished,
    Failed,
}

/// The handle of the reading thread.
struct Stream {
    asks: mpsc::Sender<Ask>,
    _cancel: CancelOnDrop,
}

/// A request for the next piece.
struct Ask {
    bounds: Bounds,
    deadline: Instant,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Rows, DatabaseError>>;

impl SqliteCursor {
    /// Starts a read-only statement.
    pub(super) async fn open(
        threads: &Threads,
        mut lease: Lease,
        permit: Permit,
        scope: Scope,
        statement: Statement,
    ) -> Result<Self, DatabaseError> {
        let cancel = Arc::new(Cancel::default());
        let cancel_on_drop = CancelOnDrop(cancel.clone());
        let (asks, asked) = mpsc::channel();
        let (reply, opened) = oneshot::channel();
        let (end, deadline) = (scope.deadline, scope.statement_deadline());
        let allowance = Allowance::of(&scope.limits);
        threads.spawn(move || {
            let mut waiting = Some(reply);
            let result = with_connection(&mut lease, &cancel, deadline, allowance, |connection| {
                let result = serve(connection, &statement, &mut waiting, &asked, end);
                result.map_err(|failed| broken_or(connection, failed))
            });
            // The connection is released before the reply is sent, so a caller that sees the end
            // can use it.
            drop((lease, permit));
            if let (Err(error), Some(waiting)) = (result, waiting) {
                _ = waiting.send(Err(error));
            }
        });
        let opened = answer_by(opened, deadline).await?;
        Ok(Self {
            columns: opened.columns,
            scope,
            state: State::Open(Stream {
                asks,
                _cancel: cancel_on_drop,
            }),
        })
    }
}

#[async_trait]
impl OpenCursor for SqliteCursor {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    async fn next(&mut self, max: usize) -> Result<Vec<Vec<Value>>, DatabaseError> {
        // The state is `Failed` while a piece is read. If the future is dropped meanwhile, the
        // stream is dropped with it.
        let stream = match std::mem::replace(&mut self.state, State::Failed) {
            State::Open(stream) => stream,
            State::Finished => {
                self.state = State::Finished;
                return Ok(Vec::new());
            }
            State::Failed => {
                let message = "the cursor is over, because a piece of it could not be read; open it again";
                return Err(DatabaseError::Invalid(message.to_owned()));
            }
        };
        let bounds = self.scope.bounds();
        let (reply, answer) = oneshot::channel();
        let deadline = self.scope.statement_deadline();
        let ask = Ask {
            bounds: Bounds {
                rows: max.min(bounds.rows),
                ..bounds
            },
            deadline,
            reply,
        };
        if stream.asks.send(ask).is_err() {
            return Err(gone());
        }
        let rows = answer_by(answer, deadline).await?.rows;
        self.state = if rows.is_empty() {
            State::Finished
        } else {
            State::Open(stream)
        };
        Ok(rows)
    }
}

async fn answer_by(
    answer: oneshot::Receiver<Result<Rows, DatabaseError>>,
    deadline: Instant,
) -> Result<Rows, DatabaseError> {
    let began = Instant::now();
    match timeout_at(deadline + GRACE, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(gone()),
        Err(_) => Err(failure::time_limit(deadline.saturating_duration_since(began))),
    }
}

/// Reads pieces until the result ends, the invocation ends or the cursor is dropped. Blocks.
fn serve(
    connection: &Connection,
    statement: &Statement,
    waiting: &mut Option<Reply>,
    asked: &mpsc::Receiver<Ask>,
    end: Instant,
) -> Result<(), Failed> {
    let mut prepared = prepare(connection, &statement.sql)?;
    let prepared = prepared.get()?;
    if !prepared.readonly() {
        let message = mortise_sql::statement::CURSOR_WRITES;
        return Err(Failed::Found(DatabaseError::Invalid(message.to_owned())));
    }
    bind(prepared, &statement.params)?;
    let columns = prepared.column_names().into_iter().map(str::to_owned).collect();
    let mut reading = Reading::of(prepared);
    answer(waiting, columns, Vec::new());
    // An idle cursor would keep the log from shrinking, so it ends with its invocation at the
    // latest.
    while let Ok(ask) = asked.recv_timeout(end.saturating_duration_since(Instant::now())) {
        *waiting = Some(ask.reply);
        connection.handle.watch.arm_again(ask.deadline.into_std());
        let rows = reading.piece(ask.bounds)?;
        memory::note_most(&connection.budget);
        let is_end = rows.is_empty();
        answer(waiting, Vec::new(), rows);
        if is_end {
            break;
        }
    }
    Ok(())
}

fn answer(waiting: &mut Option<Reply>, columns: Vec<String>, rows: Vec<Vec<Value>>) {
    if let Some(reply) = waiting.take() {
        // If the guest is gone, the send fails, and the next receive ends the loop.
        _ = reply.send(Ok(Rows { columns, rows }));
    }
}

fn gone() -> DatabaseError {
    DatabaseError::Unavailable("the cursor's reader is gone".to_owned())
}
