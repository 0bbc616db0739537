//! The connection pool of one tenant: one writer, a few readers and a few connections for cursors.
//! Each is opened at its first use, so a tenant that only reads, one row after another, has one.
//!
//! A [`Lease`] is the exclusive right to one connection. Dropping it returns the connection. A
//! connection inside a transaction is rolled back first, on a blocking thread.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::super::error::DatabaseError;
use super::connection::{Connection, Use, log_of};
use super::file_faults::{Fault, FileFaults};
use crate::domain::id::TenantId;
use crate::domain::limits::Limits;
use crate::fair_semaphore::Lane;
use crate::metrics::{Gauge, GaugeGuard};
use crate::sqlite::memory::Budget;

/// How long a statement waits for a connection.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// File descriptors of a connection: the file and its log. All connections of a tenant share one
/// more, for the log's index.
const OF_A_CONNECTION: u64 = 2;

/// Memory that weighs as much as a descriptor: the memory of an idle connection divided by its
/// descriptors.
const BYTES_OF_A_DESCRIPTOR: u64 = 64 * 1024;

/// The kinds of connections that a tenant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The only writer. Waiting is first come, first served.
    Writer,
    /// Reads that last one statement.
    Reader,
    /// Reads that stay open between host calls. They have their own connections, so that they
    /// cannot use up the readers.
    Cursor,
}

/// An open database of one tenant.
pub(super) struct Tenant {
    pub(super) id: TenantId,
    pub(super) file: PathBuf,
    /// The memory budget of all its connections.
    pub(super) budget: Arc<Budget>,
    /// Its share of the threads for statements and of those for cursors.
    pub(super) statements: Arc<Lane>,
    pub(super) cursor_threads: Arc<Lane>,
    writer: Slots,
    readers: Slots,
    cursors: Slots,
    /// Counts the migrations that ran. Connections discard statements that they compiled before.
    schema: AtomicU64,
    /// The size of the file after the last statement.
    bytes: AtomicU64,
    /// Whether the file exists in WAL mode, so that it can be opened read-only. The lock is held
    /// while the file is prepared.
    ready: Mutex<bool>,
    /// Whether the outbox was compared with what the control plane relayed, since the file was
    /// opened.
    outbox_checked: AtomicBool,
    closed: AtomicBool,
    /// The number of its open connections.
    own_connections: Arc<AtomicU32>,
    /// Its weight when it was last computed.
    weighed: AtomicU32,
    /// Counts the open connections of all tenants.
    connections: Gauge,
    file_faults: Arc<FileFaults>,
}

/// The exclusive right to use one connection.
pub(super) struct Lease {
    pub(super) tenant: Arc<Tenant>,
    role: Role,
    migrates: bool,
    connection: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
    /// Counts the open transaction until it is committed or rolled back.
    transaction: Option<GaugeGuard>,
}

/// Counts an open connection, for its tenant and for the host.
pub(super) struct Counted {
    of_tenant: Arc<AtomicU32>,
    _of_host: GaugeGuard,
}

struct Slots {
    count: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Role {
    /// The order in which connections are closed. The last connection to close writes the log back
    /// into the file, which only a writer can do.
    const CLOSING: [Role; 3] = [Role::Cursor, Role::Reader, Role::Writer];

    /// The most connections that a tenant has.
    pub(super) const CONNECTIONS: u64 =
        (Role::Writer.count() + Role::Reader.count() + Role::Cursor.count()) as u64;

    const fn count(self) -> u32 {
        match self {
            Role::Writer => 1,
            Role::Reader => 2,
            Role::Cursor => 4,
        }
    }
}

impl Tenant {
    pub(super) fn new(id: TenantId, file: PathBuf, connections: Gauge, file_faults: Arc<FileFaults>) -> Self {
        Self {
            id,
            file,
            budget: Arc::new(Budget::new(Limits::default().sql_memory)),
            statements: Arc::new(Lane::new(1)),
            cursor_threads: Arc::new(Lane::new(1)),
            writer: Slots::new(Role::Writer),
            readers: Slots::new(Role::Reader),
            cursors: Slots::new(Role::Cursor),
            schema: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            ready: Mutex::new(false),
            outbox_checked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            own_connections: Arc::default(),
            weighed: AtomicU32::new(0),
            connections,
            file_faults,
        }
    }

    /// Waits for a connection until `deadline`, but at most [`MAX_WAIT`].
    pub(super) async fn lease(
        self: &Arc<Self>,
        role: Role,
        deadline: Instant,
    ) -> Result<Lease, DatabaseError> {
        self.file_faults.check(self.id, &self.file)?;
        let permits = self.slots(role).permits.clone();
        // The uncontended case needs no timer.
        if let Ok(permit) = permits.clone().try_acquire_owned() {
            return self.leased(role, permit);
        }
        if role == Role::Cursor {
            return Err(DatabaseError::Limit(format!(
                "the tenant has {} cursors open, which is all it may have; read one to its end or drop it",
                role.count()
            )));
        }
        match timeout_at(deadline.min(Instant::now() + MAX_WAIT), permits.acquire_owned()).await {
            Ok(Ok(permit)) => self.leased(role, permit),
            Ok(Err(_)) => Err(deleted()),
            Err(_) => Err(DatabaseError::Conflict(match role {
                Role::Writer => "another writer held the database for too long; try again".to_owned(),
                Role::Reader | Role::Cursor => "the tenant's other reads took too long; try again".to_owned(),
            })),
        }
    }

    /// Records a fault of the file. Open connections are closed when their leases end. Blocks.
    pub(super) fn has_trouble(&self, fault: Fault, error: &dyn std::fmt::Display) {
        self.file_faults.found(self.id, &self.file, fault, error);
        *lock(&self.ready) = false;
        self.outbox_checked.store(false, Ordering::Release);
        self.close_idle();
    }

    /// Closes the idle connections, so that others can use their memory. Returns their number.
    /// Blocks.
    pub(super) fn close_idle(&self) -> usize {
        let close = |role| {
            let connections = self.slots(role).take_all();
            connections.len()
        };
        Role::CLOSING.into_iter().map(close).sum()
    }

    /// The cost of keeping this database open: its descriptors, or its memory if that weighs more.
    /// Stores the result.
    pub(super) fn weigh(&self) -> u32 {
        let weight = self.weight();
        self.weighed.store(weight, Ordering::Relaxed);
        weight
    }

    /// Whether the weight has grown, or shrunk to less than half, since it was last computed.
    pub(super) fn weighs_otherwise(&self) -> bool {
        let (weighed, now) = (self.weighed.load(Ordering::Relaxed), self.weight());
        now > weighed || now < weighed / 2
    }

    fn weight(&self) -> u32 {
        // A tenant without a connection is about to open one.
        let connections = u64::from(self.own_connections.load(Ordering::Relaxed)).max(1);
        let descriptors = connections * OF_A_CONNECTION + 1;
        let memory = u64::try_from(self.budget.taken()).unwrap_or(0) / BYTES_OF_A_DESCRIPTOR;
        u32::try_from(descriptors.max(memory)).unwrap_or(u32::MAX)
    }

    /// Runs an integrity check after a statement reported damage. Blocks.
    fn look_through(&self, connection: &Connection) {
        if !self.file_faults.is_worth_a_look(self.id) {
            return;
        }
        match connection.look_through() {
            Some(problem) => self.has_trouble(Fault::Damage, &problem),
            None => tracing::error!(
                tenant = %self.id,
                "a statement reported damage in a tenant's database, but the integrity check found none"
            ),
        }
    }

    /// Records that the schema has changed.
    pub(super) fn schema_changed(&self) {
        self.schema.fetch_add(1, Ordering::Release);
    }

    /// The number of the current schema. It increases with each change.
    pub(super) fn schema(&self) -> u64 {
        self.schema.load(Ordering::Acquire)
    }

    /// Whether the outbox was compared with what was relayed, since the file was opened.
    pub(super) fn outbox_is_checked(&self) -> bool {
        self.outbox_checked.load(Ordering::Acquire)
    }

    /// Records that the outbox was compared with what was relayed.
    pub(super) fn outbox_was_checked(&self) {
        self.outbox_checked.store(true, Ordering::Release);
    }

    /// The size of the database after the last statement; zero before the first one.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Stores the size of the database. Only a writer can change it.
    pub(super) fn note_bytes(&self, connection: &Connection) {
        if connection.purpose != Use::Read || self.bytes() == 0 {
            match connection.bytes() {
                Ok(bytes) => self.bytes.store(bytes, Ordering::Relaxed),
                Err(error) => {
                    tracing::debug!(tenant = %self.id, %error, "the size of a database cannot be read")
                }
            }
        }
    }

    /// Rejects all further leases.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Rejects further leases, waits for the current ones, and removes the files. A lease that
    /// outlives `deadline` keeps an unlinked file.
    pub(super) async fn delete(self: &Arc<Self>, deadline: Instant) -> std::io::Result<()> {
        self.close();
        for role in Role::CLOSING {
            let slots = self.slots(role);
            let all = timeout_at(deadline, slots.permits.clone().acquire_many_owned(slots.count)).await;
            slots.permits.close();
            drop(all);
        }
        let tenant = self.clone();
        tokio::task::spawn_blocking(move || {
            tenant.close_idle();
            // The main file is removed last, so that a remaining log can never be applied to a new
            // file.
            for suffix in ["-wal", "-shm", ""] {
                let mut file = tenant.file.clone().into_os_string();
                file.push(suffix);
                match fs::remove_file(file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    Ok(()) | Err(_) => {}
                }
            }
            Ok(())
        })
        .await
        .map_err(std::io::Error::other)?
    }

    fn leased(self: &Arc<Self>, role: Role, permit: OwnedSemaphorePermit) -> Result<Lease, DatabaseError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(deleted());
        }
        Ok(Lease {
            tenant: self.clone(),
            role,
            migrates: false,
            connection: self.slots(role).take(),
            permit: Some(permit),
            transaction: None,
        })
    }

    fn slots(&self, role: Role) -> &Slots {
        match role {
            Role::Writer => &self.writer,
            Role::Reader => &self.readers,
            Role::Cursor => &self.cursors,
        }
    }

    fn open(&self, role: Role, migrates: bool) -> rusqlite::Result<Connection> {
        let connection = self.open_file(role, migrates)?;
        self.file_faults.opened(self.id);
        Ok(connection)
    }

    fn open_file(&self, role: Role, migrates: bool) -> rusqlite::Result<Connection> {
        let mut ready = lock(&self.ready);
        // While no connection is open, another file can take the place of this one.
        if role == Role::Writer || self.own_connections.load(Ordering::Relaxed) == 0 {
            self.outbox_checked.store(false, Ordering::Release);
        }
        if role == Role::Writer {
            let purpose = if migrates { Use::Migrate } else { Use::Write };
            let connection = self.connect(purpose)?;
            *ready = true;
            return Ok(connection);
        }
        if !*ready {
            if let Some(reader) = self.open_as_it_is() {
                *ready = true;
                return Ok(reader);
            }
            let writer = self.connect(Use::Write)?;
            *ready = true;
            self.writer.give_back(writer);
        }
        drop(ready);
        self.connect(Use::Read)
    }

    /// Opens a reader if the file needs no preparation. If the log has content, a writer is needed:
    /// only a writer writes the log back when it is closed. Errors are ignored, because the writer
    /// will report them.
    fn open_as_it_is(&self) -> Option<Connection> {
        let length = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        if length(&self.file) == 0 || length(&log_of(&self.file)) > 0 {
            return None;
        }
        let reader = self.connect(Use::Read).ok()?;
        reader.has_log().is_ok_and(|has_log| has_log).then_some(reader)
    }

    fn connect(&self, purpose: Use) -> rusqlite::Result<Connection> {
        let counted = Counted::new(&self.own_connections, &self.connections);
        Connection::open(&self.file, purpose, self.schema(), self.budget.clone(), counted)
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        let connections: Vec<Connection> = Role::CLOSING
            .into_iter()
            .flat_map(|role| self.slots(role).take_all())
            .collect();
        // Closing the last connection writes the log back into the file, which blocks.
        if !connections.is_empty() {
            off_thread(move || drop(connections));
        }
    }
}

impl Lease {
    /// The connection, which is opened at the first use. Blocks.
    pub(super) fn connection(&mut self) -> rusqlite::Result<&mut Connection> {
        match self.connection {
            Some(ref mut connection) => Ok(connection),
            None => Ok(self
                .connection
                .insert(self.tenant.open(self.role, self.migrates)?)),
        }
    }

    /// Keeps the permit, but replaces the connection by one for migrations, which is closed at the
    /// end.
    pub(super) fn for_migration(mut self) -> Self {
        if let Some(connection) = self.connection.take() {
            self.tenant.slots(self.role).give_back(connection);
        }
        self.migrates = true;
        self
    }

    /// Counts a transaction until the lease is dropped.
    pub(super) fn count(&mut self, transaction: GaugeGuard) {
        self.transaction = Some(transaction);
    }

    /// Closes the connection instead of returning it to the pool. Blocks.
    pub(super) fn close_connection(&mut self) {
        self.connection = None;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let closed = self.tenant.closed.load(Ordering::Acquire);
        if connection.is_clean() && !closed && !self.tenant.file_faults.is_damaged(self.tenant.id) {
            self.tenant.slots(self.role).give_back(connection);
            return;
        }
        let (tenant, role, permit) = (self.tenant.clone(), self.role, self.permit.take());
        let transaction = self.transaction.take();
        off_thread(move || {
            connection.roll_back();
            if connection.fault == Some(Fault::Damage) && !closed {
                tenant.look_through(&connection);
            }
            if connection.is_clean() && !closed && !tenant.file_faults.is_damaged(tenant.id) {
                tenant.slots(role).give_back(connection);
            } else {
                drop(connection);
            }
            // The permit is released last, after the rollback.
            drop((transaction, permit));
        });
    }
}

impl Counted {
    fn new(of_tenant: &Arc<AtomicU32>, of_host: &Gauge) -> Self {
        of_tenant.fetch_add(1, Ordering::Relaxed);
        Self {
            of_tenant: of_tenant.clone(),
            _of_host: of_host.hold(),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of_tenant.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    fn new(role: Role) -> Self {
        Self {
            count: role.count(),
            permits: Arc::new(Semaphore::new(role.count() as usize)),
            idle: Mutex::new(Vec::new()),
        }
    }

    fn take(&self) -> Option<Connection> {
        lock(&self.idle).pop()
    }

    fn take_all(&self) -> Vec<Connection> {
        std::mem::take(&mut *lock(&self.idle))
    }

    fn give_back(&self, connection: Connection) {
        lock(&self.idle).push(connection);
    }
}

/// Runs blocking work on a blocking thread, or on this thread if there is no runtime.
fn off_thread(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

fn deleted() -> DatabaseError {
    DatabaseError::Unavailable("the tenant's database was deleted".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
