//! Runs blocking work on a connection, and stops it when its caller is dropped.
//!
//! The worker thread owns the lease. If the caller is dropped (the guest was cancelled, the time is
//! over), the work is interrupted, and the thread returns the lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::super::error::DatabaseError;
use super::super::statement::Scope;
use super::connection::{Allowance, Connection, Handle};
use super::failure;
use super::file_faults::{self, Fault};
use super::pool::Lease;
use super::run::broken_or;
use crate::fair_semaphore::{FairSemaphore, Lane, Permit};
use crate::sqlite::memory;

/// SQLite checks the clock itself. If it does not stop within this time after the deadline, the
/// caller stops waiting.
pub(super) const GRACE: Duration = Duration::from_millis(50);

/// A bounded number of the background runtime's blocking threads, on which statements run. When all
/// are in use, the next free one goes to the tenant that has the fewest.
#[derive(Clone)]
pub(super) struct Threads {
    background: runtime::Handle,
    permits: Arc<FairSemaphore>,
}

/// Lets another thread stop the work, but only while the work has its connection. A later interrupt
/// would hit the next user of the connection.
#[derive(Default)]
pub(super) struct Cancel(Mutex<Phase>);

/// Cancels when it is dropped.
pub(super) struct CancelOnDrop(pub(super) Arc<Cancel>);

/// Marks the work as running until it is dropped.
pub(super) struct Running<'a>(&'a Cancel);

#[derive(Default)]
enum Phase {
    #[default]
    Waiting,
    Running(Arc<Handle>),
    Over,
}

impl Threads {
    /// At most `count` threads at once.
    pub(super) fn new(background: runtime::Handle, count: usize) -> Self {
        Self {
            background,
            permits: FairSemaphore::new(count),
        }
    }

    /// The number of threads in use.
    pub(super) fn taken(&self) -> usize {
        self.permits.held()
    }

    /// Waits for a permit for the tenant of `lane`. Returns an error if none is free by `deadline`.
    pub(super) async fn acquire(&self, lane: &Arc<Lane>, deadline: Instant) -> Result<Permit, DatabaseError> {
        // The uncontended case needs no timer.
        if let Some(permit) = self.permits.try_acquire(lane) {
            return Ok(permit);
        }
        timeout_at(deadline, self.permits.wait(lane))
            .await
            .map_err(|_| DatabaseError::Conflict("the host's databases are too busy; try again".to_owned()))
    }

    /// Runs `work` on a blocking thread.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.background.spawn_blocking(work)
    }
}

impl Cancel {
    /// Stops the work, now or before it begins.
    pub(super) fn cancel(&self) {
        let mut phase = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Running(handle) = &*phase {
            handle.stop();
        }
        *phase = Phase::Over;
    }

    /// Marks the work as running. Returns `None` if it was cancelled before.
    pub(super) fn begin(&self, handle: &Arc<Handle>, deadline: Instant) -> Option<Running<'_>> {
        let mut phase = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*phase, Phase::Over) {
            return None;
        }
        handle.watch.arm(deadline.into_std());
        *phase = Phase::Running(handle.clone());
        Some(Running(self))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut phase = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Phase::Running(handle) = &*phase {
            handle.watch.disarm();
        }
        *phase = Phase::Over;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Runs `work` with the connection of `lease`. Returns the lease, unless the work missed its
/// deadline.
pub(super) async fn run<T: Send + 'static>(
    threads: &Threads,
    mut lease: Lease,
    deadline: Instant,
    allowance: Allowance,
    work: impl FnOnce(&mut Connection) -> Result<T, DatabaseError> + Send + 'static,
) -> (Option<Lease>, Result<T, DatabaseError>) {
    let permit = match threads.acquire(&lease.tenant.statements, deadline).await {
        Ok(permit) => permit,
        Err(busy) => return (Some(lease), Err(busy)),
    };
    let cancel = Arc::new(Cancel::default());
    let cancel_on_drop = CancelOnDrop(cancel.clone());
    let began = Instant::now();
    let mut job = threads.spawn(move || {
        let result = with_connection(&mut lease, &cancel, deadline, allowance, work);
        drop(permit);
        (lease, result)
    });
    let late = sleep_until(deadline + GRACE);
    tokio::select! {
        biased;
        finished = &mut job => match finished {
            Ok((lease, result)) => (Some(lease), result),
            Err(error) => {
                tracing::error!(%error, "a database thread failed");
                (None, Err(DatabaseError::Unavailable("the database failed".to_owned())))
            }
        },
        () = late => {
            drop(cancel_on_drop);
            (None, Err(failure::time_limit(deadline.saturating_duration_since(began))))
        }
    }
}

/// Runs the host's own SQL. Its deadline is the end of the invocation, not the time limit of a
/// statement.
pub(super) async fn host(
    threads: &Threads,
    lease: Lease,
    scope: &Scope,
    sql: &'static str,
) -> (Option<Lease>, Result<(), DatabaseError>) {
    let allowance = Allowance::of(&scope.limits);
    run(threads, lease, scope.deadline, allowance, move |connection| {
        connection
            .as_host(|raw| raw.execute_batch(sql))
            .map_err(|error| broken_or(connection, error.into()))
    })
    .await
}

/// Opens or refreshes the connection and does the work, unless it was cancelled. SQLite's
/// allocations are charged to the tenant. Blocks.
pub(super) fn with_connection<T>(
    lease: &mut Lease,
    cancel: &Cancel,
    deadline: Instant,
    allowance: Allowance,
    work: impl FnOnce(&mut Connection) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let budget = lease.tenant.budget.clone();
    if let Some(limit) = allowance.memory {
        budget.set_limit(limit);
    }
    memory::charged(&budget, || {
        charged_with_connection(lease, cancel, deadline, allowance, work)
    })
}

fn charged_with_connection<T>(
    lease: &mut Lease,
    cancel: &Cancel,
    deadline: Instant,
    allowance: Allowance,
    work: impl FnOnce(&mut Connection) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let tenant = lease.tenant.clone();
    let mut opened = ready(lease, allowance);
    if opened.as_ref().is_err_and(failure::is_out_of_memory) && tenant.close_idle() > 0 {
        opened = ready(lease, allowance);
    }
    if let Err(error) = opened {
        return Err(not_opened(lease, &error));
    }
    let connection = lease
        .connection()
        .map_err(|_| DatabaseError::Unavailable("the database failed".to_owned()))?;
    let handle = connection.handle.clone();
    let Some(_running) = cancel.begin(&handle, deadline) else {
        return Err(DatabaseError::Limit("the invocation is over".to_owned()));
    };
    let result = memory::watched(&handle.watch, || {
        connection.keep_log_short()?;
        work(connection)
    });
    match connection.fault {
        // Damage is logged once, after the integrity check of the file.
        Some(Fault::Damage) | None => tenant.note_bytes(connection),
        // The idle connections release their memory; this connection is closed when its lease is
        // dropped.
        Some(Fault::Memory) => _ = tenant.close_idle(),
        Some(Fault::Other) => {
            tracing::error!(tenant = %tenant.id, error = ?result.as_ref().err(), "a tenant's database failed");
        }
    }
    result
}

/// Opens the connection and applies the tenant's limits and schema. Closes it if that fails.
fn ready(lease: &mut Lease, allowance: Allowance) -> rusqlite::Result<()> {
    let schema = lease.tenant.schema();
    let result = lease
        .connection()
        .and_then(|connection| connection.refresh(allowance.database_bytes, schema));
    if result.is_err() {
        lease.close_connection();
    }
    result
}

fn not_opened(lease: &Lease, error: &rusqlite::Error) -> DatabaseError {
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) {
        return DatabaseError::Conflict("the database is locked; try again".to_owned());
    }
    if failure::is_out_of_memory(error) {
        return failure::out_of_memory_to_open();
    }
    let fault = failure::fault(error).unwrap_or(Fault::Other);
    lease.tenant.has_trouble(fault, error);
    match fault {
        Fault::Damage => file_faults::damaged(),
        Fault::Memory | Fault::Other => file_faults::cannot_open(),
    }
}
