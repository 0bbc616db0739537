//! The engine on SQLite: one file for each tenant.
//!
//! - `pool`: a tenant's connections, and the right to use one.
//! - `connection`: how one is set up; `replaced`: functions with the clock inside; `kept`: which
//!   statements stay compiled. Its clock and its memory are in `crate::sqlite`.
//! - `trouble`: files that do not work.
//! - `job`: work on a connection off the async threads, which stops when nobody waits for it; `stop`: how.
//! - `run`: one statement; `transaction`, `cursor`: what stays open between host calls; `migrate`: changing schemas.
//! - `failure`: SQLite's errors in the words of the contract.
//!
//! What SQL may do, on the host as in tests of plugins, is the crate `mortise-sql`.
//!
//! Invariant: nothing outside this folder knows rusqlite, and every statement of a plugin is compiled in `run` or
//! `migrate`.

mod connection;
mod cursor;
mod failure;
mod job;
mod kept;
mod migrate;
mod pool;
mod replaced;
mod run;
mod stop;
mod transaction;
mod trouble;

use std::collections::{HashMap, HashSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::time::Instant;

pub use cursor::Cursor;
pub use migrate::{Applied, AppliedMigration, MigrationError};
pub use transaction::{OpenMark, Transaction};

use super::error::DatabaseError;
use super::statement::{Answer, Scope, Statement, Want};
use crate::domain::clock::SharedClock;
use crate::domain::id::TenantId;
use crate::domain::units::as_u64;
use crate::metrics::Gauge;
use crate::sqlite;
use job::Threads;
use pool::{Role, Tenant};
use run::Outcome;
use trouble::{Fault, Troubles};

/// A file that nobody used for this long is closed.
const IDLE: Duration = Duration::from_secs(5 * 60);

/// So many statements run at once, over all tenants. More would only wait for the same disk and processors.
const THREADS: usize = 64;

/// So many cursors are open at once, over all tenants; each keeps a thread.
const CURSORS: usize = 64;

/// How long deleting a tenant's database waits for those who use it.
const LEAVING: Duration = Duration::from_secs(5);

/// The databases of all tenants.
pub struct Databases {
    folder: PathBuf,
    clock: SharedClock,
    /// Keeps those open that were used last.
    recent: Cache<TenantId, Arc<Tenant>>,
    /// Finds those that are in use though no longer recent, so that no tenant has two writers.
    open: Mutex<HashMap<TenantId, Weak<Tenant>>>,
    /// Tenants whose files were deleted. A guest of theirs that still runs must not create them again. Ids
    /// are never used twice.
    deleted: Mutex<HashSet<TenantId>>,
    threads: Threads,
    cursors: Threads,
    troubles: Arc<Troubles>,
    transactions: Gauge,
    connections: Gauge,
}

/// What the databases hold at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabasesHeld {
    /// Open transactions, until they are rolled back where nobody ends them.
    pub transactions: u64,
    /// Open cursors.
    pub cursors: u64,
    /// Statements that run.
    pub statements: u64,
    /// Tenants whose database is open.
    pub tenants: u64,
    /// Open connections.
    pub connections: u64,
}

impl Databases {
    /// Databases in `folder`, which is made, for the host only, where it is missing. Files are opened when they are
    /// first used. Beside those in use, as many stay open as `descriptors` and a share of memory for each of these are
    /// enough for. SQL runs on the blocking threads of `background`. `clock` dates migrations.
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
        // Files are opened without following links; only the operator may have some on the way.
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
            open: Mutex::new(HashMap::new()),
            deleted: Mutex::default(),
            threads,
            cursors,
            troubles: Arc::default(),
            transactions: Gauge::default(),
            connections: Gauge::default(),
        })
    }

    /// Runs a statement on its own. `may_write` is false where the same invocation holds the writer already: waiting
    /// for it would be waiting for oneself.
    pub async fn run(
        &self,
        scope: &Scope,
        statement: Statement,
        want: Want,
        may_write: bool,
    ) -> Result<Answer, DatabaseError> {
        let tenant = self.tenant(scope.tenant);
        let mut statement = statement;
        // Whether it reads is SQLite's to say, not the first word's; the word only spares most writes a detour.
        if !may_write || begins_like_a_read(&statement.sql) {
            match self.run_on(&tenant, Role::Reader, scope, statement, want).await? {
                Outcome::Done(answer) => return Ok(answer),
                Outcome::NeedsWriter(back) => statement = back,
            }
        }
        if !may_write {
            return Err(DatabaseError::Invalid(
                mortise_sql::statement::WRITES_BESIDE.to_owned(),
            ));
        }
        match self.run_on(&tenant, Role::Writer, scope, statement, want).await? {
            Outcome::Done(answer) => Ok(answer),
            Outcome::NeedsWriter(_) => Err(DatabaseError::Unavailable("the database failed".to_owned())),
        }
    }

    /// Begins a transaction. It writes, so that it waits for whoever writes now.
    pub async fn begin(&self, scope: &Scope, mark: OpenMark) -> Result<Transaction, DatabaseError> {
        let tenant = self.tenant(scope.tenant);
        let mut lease = tenant.lease(Role::Writer, scope.deadline).await?;
        lease.count(self.transactions.hold());
        let begun = Transaction::begin(&self.threads, lease, scope, mark).await;
        self.weigh_again(&tenant);
        begun
    }

    /// Starts a statement whose rows are read piece by piece.
    pub async fn open(&self, scope: &Scope, statement: Statement) -> Result<Cursor, DatabaseError> {
        let tenant = self.tenant(scope.tenant);
        let lease = tenant.lease(Role::Cursor, scope.deadline).await?;
        let permit = self
            .cursors
            .acquire(&lease.tenant.cursor_threads, scope.deadline)
            .await?;
        let opened = Cursor::open(&self.cursors, lease, permit, scope, statement).await;
        self.weigh_again(&tenant);
        opened
    }

    /// Closes a tenant's database and deletes it. The tenant must not be served any more.
    pub async fn forget(&self, tenant: TenantId) -> std::io::Result<()> {
        let open = self.tenant(tenant);
        self.deleted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tenant);
        open.delete(Instant::now() + LEAVING).await?;
        self.recent.invalidate(&tenant);
        self.lock().remove(&tenant);
        self.troubles.forget(tenant);
        Ok(())
    }

    /// How large a tenant's database was after its last statement; zero where it is not open.
    pub fn bytes(&self, tenant: TenantId) -> u64 {
        self.recent.get(&tenant).map_or(0, |tenant| tenant.bytes())
    }

    /// The most memory that SQLite had taken for a tenant while its last statement ran; zero where it is not open.
    pub fn memory(&self, tenant: TenantId) -> u64 {
        self.recent.get(&tenant).map_or(0, |tenant| tenant.budget.most())
    }

    /// The tenants whose files are damaged, as far as it was noticed. They are not used until there is another file.
    pub fn damaged(&self) -> Vec<TenantId> {
        self.troubles.damaged()
    }

    /// The tenants whose files are there and have content.
    pub fn with_files(&self) -> std::io::Result<Vec<TenantId>> {
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

    /// A tenant's file was there once and is missing or empty. It is not used, and no empty one is made in
    /// its place, until there is a file again.
    pub fn is_missing(&self, tenant: TenantId) {
        let file = self.file(tenant);
        let problem = format!("{} is missing or empty", file.display());
        self.troubles.found(tenant, &file, Fault::Damage, &problem);
    }

    /// Closes every connection that nobody uses, so that the files of databases are whole without their
    /// write-ahead logs. Blocks.
    pub fn close_all_idle(&self) {
        let open: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        for tenant in open {
            tenant.close_idle();
        }
    }

    /// How many tenants' databases are open.
    pub fn open_tenants(&self) -> usize {
        self.recent.run_pending_tasks();
        self.lock()
            .values()
            .filter(|tenant| tenant.strong_count() > 0)
            .count()
    }

    /// What is held now. Takes locks that others hold for moments.
    pub fn held(&self) -> DatabasesHeld {
        DatabasesHeld {
            transactions: self.transactions.get(),
            cursors: as_u64(self.cursors.taken()),
            statements: as_u64(self.threads.taken()),
            tenants: u64::try_from(self.open_tenants()).unwrap_or(u64::MAX),
            connections: self.connections.get(),
        }
    }

    async fn run_on(
        &self,
        tenant: &Arc<Tenant>,
        role: Role,
        scope: &Scope,
        statement: Statement,
        want: Want,
    ) -> Result<Outcome, DatabaseError> {
        let lease = tenant.lease(role, scope.deadline).await?;
        let (deadline, bounds) = (scope.statement_deadline(), scope.bounds());
        let allowance = connection::Allowance::of(&scope.limits);
        let work =
            move |connection: &mut connection::Connection| run::run(connection, statement, want, bounds);
        let (_lease, result) = job::run(&self.threads, lease, deadline, allowance, work).await;
        self.weigh_again(tenant);
        result
    }

    fn tenant(&self, id: TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.recent.get(&id) {
            return tenant;
        }
        self.recent.get_with(id, || {
            let mut open = self.lock();
            if let Some(tenant) = open.get(&id).and_then(Weak::upgrade) {
                return tenant;
            }
            open.retain(|_, tenant| tenant.strong_count() > 0);
            let tenant = Arc::new(Tenant::new(
                id,
                self.file(id),
                self.connections.clone(),
                self.troubles.clone(),
            ));
            if self
                .deleted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&id)
            {
                tenant.close();
            }
            open.insert(id, Arc::downgrade(&tenant));
            tenant
        })
    }

    /// Bounds what stays open by what it takes now. A tenant that had to leave meanwhile stays away.
    fn weigh_again(&self, tenant: &Arc<Tenant>) {
        if tenant.weighs_otherwise() && self.recent.contains_key(&tenant.id) {
            self.recent.insert(tenant.id, tenant.clone());
        }
    }

    fn file(&self, id: TenantId) -> PathBuf {
        self.folder.join(format!("{id}.db"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, Weak<Tenant>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Databases {
    /// Databases on few threads.
    pub(super) fn on_threads(
        folder: impl Into<PathBuf>,
        clock: SharedClock,
        statements: usize,
        cursors: usize,
    ) -> std::io::Result<Self> {
        let threads = |count| Threads::new(Handle::current(), count);
        Self::with_threads(folder, 60, threads(statements), threads(cursors), clock)
    }

    /// Bytes that SQLite has taken for a tenant.
    pub(super) fn memory_taken(&self, tenant: TenantId) -> i64 {
        self.tenant(tenant).budget.taken()
    }

    /// Closes a tenant's connections that nobody uses.
    pub(super) fn close_idle(&self, tenant: TenantId) {
        self.tenant(tenant).close_idle();
    }
}

fn begins_like_a_read(sql: &str) -> bool {
    let word = sql
        .trim_start()
        .split(|character: char| !character.is_ascii_alphabetic())
        .next()
        .unwrap_or("");
    ["select", "with", "values", "explain"]
        .iter()
        .any(|read| word.eq_ignore_ascii_case(read))
}
