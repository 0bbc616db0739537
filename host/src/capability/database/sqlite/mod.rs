//! The SQLite engine: one database file for each tenant.
//!
//! - `pool`: a tenant's connections, and leases of them.
//! - `connection`: the setup of a connection; `replaced`: SQL functions that check the clock;
//!   `kept`: the cache of compiled statements. The clock and the memory accounting are in
//!   `crate::sqlite`.
//! - `file_faults`: files that are damaged or cannot be opened.
//! - `job`: work on a connection on a blocking thread; `stop`: how another thread stops it.
//! - `session`: one invocation's use of its database; `run`: one statement; `transaction`,
//!   `cursor`: state that stays open between host calls; `migrate`: migrations.
//! - `host_work`: what the host does outside of invocations. Its tables are `outbox` (jobs and
//!   events of transactions), `completed` (jobs that a transaction completed) and `steps`; `traces`
//!   removes what jobs left that are done or deleted.
//! - `failure`: SQLite's errors as errors of the contract.
//!
//! The crate `mortise-sql` decides what SQL may do, on the host and in tests of plugins.
//!
//! Invariant: nothing outside this folder uses rusqlite for tenants' databases, and every statement
//! of a plugin is compiled in `run` or `migrate`.

mod completed;
mod connection;
mod cursor;
mod failure;
mod file_faults;
mod host_work;
mod job;
mod kept;
mod migrate;
mod outbox;
mod pool;
mod replaced;
mod run;
mod session;
mod steps;
mod stop;
mod traces;
mod transaction;

use std::collections::{HashMap, HashSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::engine::{DatabaseEngine, DatabasesHeld, OutboxBatch, Session};
use super::error::DatabaseError;
use super::migration::{Applied, MigrationError};
use super::statement::Scope;
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::{JobId, PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::manifest::Contract;
use crate::domain::migration::Migration;
use crate::domain::outbox::OutboxMark;
use crate::domain::units::as_u64;
use crate::metrics::Gauge;
use crate::sqlite;
use file_faults::{Fault, FileFaults};
use job::Threads;
use pool::Tenant;
use session::SqliteSession;

/// A database is closed after this time without use.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// The most statements that run at once, over all tenants. More would only wait for the same disk
/// and processors.
const THREADS: usize = 64;

/// The most cursors that are open at once, over all tenants. Each keeps a thread.
const CURSORS: usize = 64;

/// With fewer open databases than this, closed ones are not looked for.
const SWEEP_LEAST: usize = 64;

/// How long the deletion of a database waits for its users.
const LEAVING: Duration = Duration::from_secs(5);

/// The databases of all tenants.
pub struct SqliteDatabases {
    folder: PathBuf,
    clock: SharedClock,
    /// Keeps the most used databases open, as far as their weights allow.
    recent: Cache<TenantId, Arc<Tenant>>,
    /// Finds databases that are in use but no longer in `recent`, so that no tenant has two
    /// writers.
    open: Mutex<Open>,
    /// Tenants whose files were deleted. A guest that still runs must not create them again. Tenant
    /// ids are never reused.
    deleted: Mutex<HashSet<TenantId>>,
    threads: Threads,
    cursors: Threads,
    file_faults: Arc<FileFaults>,
    transactions: Gauge,
    connections: Gauge,
}

/// The tenants whose databases are open, and some whose databases have been closed.
#[derive(Default)]
struct Open {
    tenants: HashMap<TenantId, Weak<Tenant>>,
    /// At this size, closed databases are removed.
    sweep_at: usize,
}

impl SqliteDatabases {
    /// Creates the engine on `folder`, which is created for the host only if it is missing. Files
    /// are opened at their first use. `descriptors` bounds the databases that stay open, each
    /// weighed by its descriptors and memory. SQL runs on the blocking threads of `background`.
    /// `clock` dates migrations.
    pub fn new(
        folder: impl Into<PathBuf>,
        descriptors: u64,
        background: Handle,
        clock: SharedClock,
    ) -> std::io::Result<Self> {
        let (threads, cursors) = (
            Threads::new(background.clone(), THREADS),
            Threads::new(background, CURSORS),
        );
        Self::with_threads(folder, descriptors, threads, cursors, clock)
    }

    fn with_threads(
        folder: impl Into<PathBuf>,
        descriptors: u64,
        threads: Threads,
        cursors: Threads,
        clock: SharedClock,
    ) -> std::io::Result<Self> {
        let folder = folder.into();
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        // Database files are opened without following links, but the path of the folder may contain
        // some.
        let folder = folder.canonicalize()?;
        sqlite::configure().map_err(std::io::Error::other)?;
        connection::sort_in(&folder).map_err(std::io::Error::other)?;
        Ok(Self {
            folder,
            clock,
            recent: Cache::builder()
                .max_capacity(descriptors)
                .weigher(|_, tenant: &Arc<Tenant>| tenant.weigh())
                .time_to_idle(IDLE)
                .build(),
            open: Mutex::default(),
            deleted: Mutex::default(),
            threads,
            cursors,
            file_faults: Arc::default(),
            transactions: Gauge::default(),
            connections: Gauge::default(),
        })
    }

    /// The tenants whose files exist and are not empty. Blocks.
    fn with_files(&self) -> std::io::Result<Vec<TenantId>> {
        let mut tenants = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            let is_database = path.extension().is_some_and(|extension| extension == "db");
            let id = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse::<TenantId>().ok());
            if is_database && entry.metadata()?.len() > 0 {
                tenants.extend(id);
            }
        }
        Ok(tenants)
    }

    /// Closes every idle connection, so that the database files are complete without their
    /// write-ahead logs. Blocks.
    pub(super) fn close_all_idle(&self) {
        let open: Vec<_> = self.lock().tenants.values().filter_map(Weak::upgrade).collect();
        for tenant in open {
            tenant.close_idle();
        }
    }

    /// The number of open databases.
    pub fn open_tenants(&self) -> usize {
        self.recent.run_pending_tasks();
        self.lock()
            .tenants
            .values()
            .filter(|tenant| tenant.strong_count() > 0)
            .count()
    }

    fn tenant(&self, id: TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.recent.get(&id) {
            return tenant;
        }
        self.recent.get_with(id, || {
            let mut open = self.lock();
            if let Some(tenant) = open.tenants.get(&id).and_then(Weak::upgrade) {
                return tenant;
            }
            let tenant = Arc::new(Tenant::new(
                id,
                self.file(id),
                self.connections.clone(),
                self.file_faults.clone(),
            ));
            if self
                .deleted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&id)
            {
                tenant.close();
            }
            open.add(&tenant);
            tenant
        })
    }

    /// Updates the weight of a database in `recent`. A database that was evicted meanwhile stays
    /// evicted.
    fn weigh_again(&self, tenant: &Arc<Tenant>) {
        if tenant.weighs_otherwise() && self.recent.contains_key(&tenant.id) {
            self.recent.insert(tenant.id, tenant.clone());
        }
    }

    fn file(&self, id: TenantId) -> PathBuf {
        self.folder.join(format!("{id}.db"))
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn add(&mut self, tenant: &Arc<Tenant>) {
        if self.tenants.len() >= self.sweep_at {
            self.tenants.retain(|_, tenant| tenant.strong_count() > 0);
            // The limit doubles, because each sweep visits all of them.
            self.sweep_at = 2 * self.tenants.len().max(SWEEP_LEAST);
        }
        self.tenants.insert(tenant.id, Arc::downgrade(tenant));
    }
}

#[async_trait]
impl DatabaseEngine for SqliteDatabases {
    fn session(self: Arc<Self>, scope: Scope) -> Box<dyn Session> {
        let tenant = self.tenant(scope.tenant);
        Box::new(SqliteSession::new(self, tenant, scope))
    }

    async fn migrate(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        contract: Contract,
        limits: &Limits,
        migrations: &[Migration],
    ) -> Result<Applied, MigrationError> {
        self.apply_migrations(tenant, plugin, contract, limits, migrations)
            .await
    }

    async fn forget(&self, tenant: TenantId) -> std::io::Result<()> {
        let open = self.tenant(tenant);
        self.deleted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tenant);
        open.delete(Instant::now() + LEAVING).await?;
        self.recent.invalidate(&tenant);
        self.lock().tenants.remove(&tenant);
        self.file_faults.forget(tenant);
        Ok(())
    }

    async fn outbox(
        &self,
        tenant: TenantId,
        mark: Option<&OutboxMark>,
        limit: u32,
    ) -> Result<OutboxBatch, DatabaseError> {
        self.read_outbox(tenant, mark, limit).await
    }

    async fn outbox_relayed(&self, tenant: TenantId, mark: &OutboxMark) -> Result<(), DatabaseError> {
        self.delete_relayed(tenant, mark).await
    }

    async fn is_completed(&self, tenant: TenantId, job: JobId) -> Result<bool, DatabaseError> {
        self.was_completed(tenant, job).await
    }

    async fn job_traces(
        &self,
        tenant: TenantId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, DatabaseError> {
        self.traces(tenant, after, limit).await
    }

    async fn forget_jobs(&self, tenant: TenantId, jobs: &[JobId]) -> Result<(), DatabaseError> {
        let jobs = jobs.to_vec();
        self.remove_traces(tenant, jobs, self.completed_before()).await
    }

    async fn reset_job(&self, tenant: TenantId, job: JobId) -> Result<(), DatabaseError> {
        self.remove_traces(tenant, vec![job], Timestamp(i64::MAX)).await
    }

    async fn tenants_with_data(&self) -> std::io::Result<Vec<TenantId>> {
        self.with_files()
    }

    fn mark_missing(&self, tenant: TenantId) {
        let file = self.file(tenant);
        let problem = format!("{} is missing or empty", file.display());
        self.file_faults.found(tenant, &file, Fault::Damage, &problem);
    }

    fn damaged(&self) -> Vec<TenantId> {
        self.file_faults.damaged()
    }

    fn held(&self) -> DatabasesHeld {
        DatabasesHeld {
            transactions: self.transactions.get(),
            cursors: as_u64(self.cursors.taken()),
            statements: as_u64(self.threads.taken()),
            tenants: as_u64(self.open_tenants()),
            connections: self.connections.get(),
        }
    }

    async fn close(self: Arc<Self>) {
        // If a checkpoint fails, the content remains in the write-ahead log beside the file.
        let _ = tokio::task::spawn_blocking(move || self.close_all_idle()).await;
    }
}

#[cfg(test)]
impl SqliteDatabases {
    /// Creates the engine with a few threads.
    pub(super) fn on_threads(
        folder: impl Into<PathBuf>,
        clock: SharedClock,
        statements: usize,
        cursors: usize,
    ) -> std::io::Result<Self> {
        let threads = |count| Threads::new(Handle::current(), count);
        Self::with_threads(folder, 60, threads(statements), threads(cursors), clock)
    }

    /// Bytes of memory that a tenant's SQLite connections use.
    pub(super) fn memory_taken(&self, tenant: TenantId) -> i64 {
        self.tenant(tenant).budget.taken()
    }

    /// Closes a tenant's idle connections.
    pub(super) fn close_idle(&self, tenant: TenantId) {
        self.tenant(tenant).close_idle();
    }
}
