//! The traits that a database engine implements.
//!
//! The host calls, the lifecycle and the metrics use these traits and the types of `statement.rs`,
//! `error.rs` and `migration.rs`. Concurrency within a session is the engine's decision: the number
//! of writers, and whether a statement may run outside an open transaction.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use super::error::DatabaseError;
use super::migration::{Applied, MigrationError};
use super::statement::{Answer, Scope, Statement, Value, Want};
use crate::domain::id::{JobId, PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::manifest::Contract;
use crate::domain::migration::Migration;
use crate::domain::outbox::OutboxMark;

/// Entries of a tenant's outbox, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxBatch {
    /// The epoch of the file; `None` if the file has no outbox.
    pub epoch: Option<String>,
    /// The sequence and the JSON of each entry. Between the sequences of two entries are as many
    /// numbers as jobs were reserved for the second one.
    pub entries: Vec<(i64, String)>,
    /// The sequence before the first entry, or one that is at most
    /// [`MOST_RECEIVERS`](crate::domain::event::MOST_RECEIVERS) before the first entry.
    pub after: i64,
    /// The sequence of the last entry of the file.
    pub last: i64,
}

impl OutboxBatch {
    /// How many jobs were reserved for the entries up to a sequence.
    pub fn jobs_up_to(&self, sequence: i64) -> u64 {
        u64::try_from(sequence.saturating_sub(self.after)).unwrap_or(0)
    }
}

/// Room in the backlog of a tenant for jobs of an open transaction. Dropping it gives the room
/// back.
pub trait OutboxRoom: Send + Sync {
    /// The number of jobs.
    fn jobs(&self) -> u64;

    /// The transaction is committed: the room stays taken until its entries are relayed.
    fn committed(self: Box<Self>);
}

/// The result of a step of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The job.
    pub job: JobId,
    /// The name of the step.
    pub name: String,
    /// The result.
    pub result: String,
    /// The most steps of a job.
    pub most: u32,
}

/// What the control plane knows of outboxes.
#[async_trait]
pub trait OutboxMarks: Send + Sync {
    /// The mark of a tenant.
    async fn mark(&self, tenant: TenantId) -> Result<Option<OutboxMark>, DatabaseError>;

    /// Records that the tenant's database has an outbox with this epoch.
    async fn set_epoch(&self, tenant: TenantId, epoch: &str) -> Result<(), DatabaseError>;
}

/// An open transaction. Dropping it rolls it back before any other statement sees its changes.
pub type Transaction = Box<dyn OpenTransaction>;

/// What a transaction did besides running statements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// How many entries it wrote into the outbox.
    pub outbox_entries: u32,
    /// Whether it completed the running job.
    pub completed_job: bool,
}

/// What is to be done as soon as a transaction is committed, also if nobody waits for the commit
/// any more. It must not block.
pub type OnCommit = Box<dyn FnOnce(Effects) + Send>;

/// A result that is being read. Dropping it stops the statement.
pub type Cursor = Box<dyn OpenCursor>;

/// The databases of all tenants.
#[async_trait]
pub trait DatabaseEngine: Send + Sync {
    /// Creates the session of one invocation, bounded by its limits and its deadline. Opens no
    /// connection yet.
    fn session(self: Arc<Self>, scope: Scope) -> Box<dyn Session>;

    /// Applies the pending migrations of `plugin`, all of them or none. The call is idempotent.
    /// `contract` is the contract version of the plugin.
    async fn migrate(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        contract: Contract,
        limits: &Limits,
        migrations: &[Migration],
    ) -> Result<Applied, MigrationError>;

    /// Closes and deletes a tenant's database. The tenant must not be served any more. A tenant
    /// without a database is not an error.
    async fn forget(&self, tenant: TenantId) -> io::Result<()>;

    /// The next outbox entries of a tenant after `mark`, the last mark of the control plane: at
    /// most `limit`, and fewer if they are large; none only at the end. They are on the disk. If
    /// the database is not the continuation of the one that `mark` is about, it gets a new epoch
    /// first.
    async fn outbox(
        &self,
        tenant: TenantId,
        mark: Option<&OutboxMark>,
        limit: u32,
    ) -> Result<OutboxBatch, DatabaseError>;

    /// Deletes the outbox entries up to `mark`, which were relayed.
    async fn outbox_relayed(&self, tenant: TenantId, mark: &OutboxMark) -> Result<(), DatabaseError>;

    /// Whether the job was completed in a transaction of the tenant's database. Opens no file that
    /// does not exist.
    async fn is_completed(&self, tenant: TenantId, job: JobId) -> Result<bool, DatabaseError>;

    /// Up to `limit` jobs after `after` that left something in the tenant's database: results of
    /// steps, or that they were completed an hour ago or earlier.
    async fn job_traces(
        &self,
        tenant: TenantId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, DatabaseError>;

    /// Removes what these jobs left, as [`job_traces`](Self::job_traces) names it. They are done or
    /// were deleted, so nobody can retry them and find it.
    async fn forget_jobs(&self, tenant: TenantId, jobs: &[JobId]) -> Result<(), DatabaseError>;

    /// Removes everything that a job left, however long ago, so that it runs from the beginning.
    async fn reset_job(&self, tenant: TenantId, job: JobId) -> Result<(), DatabaseError>;

    /// The tenants whose databases are there and have content.
    async fn tenants_with_data(&self) -> io::Result<Vec<TenantId>>;

    /// Says that a tenant's database existed and is missing or empty now. The engine does not use
    /// it, and makes no empty one in its place, until it is there again.
    fn mark_missing(&self, tenant: TenantId);

    /// The tenants whose databases are known to be damaged or missing.
    fn damaged(&self) -> Vec<TenantId>;

    /// The resources in use now. Takes locks that are held only briefly.
    fn held(&self) -> DatabasesHeld;

    /// Closes all idle connections, so that the files are complete without their logs. Call it once
    /// no invocation runs.
    async fn close(self: Arc<Self>);
}

/// One invocation's use of its tenant's database. Dropping a future of these methods stops its
/// work.
#[async_trait]
pub trait Session: Send {
    /// Runs a statement on its own.
    async fn run(&mut self, statement: Statement, want: Want) -> Result<Answer, DatabaseError>;

    /// Begins a transaction.
    async fn begin(&mut self) -> Result<Transaction, DatabaseError>;

    /// Starts a statement whose rows are read piece by piece.
    async fn open(&mut self, statement: Statement) -> Result<Cursor, DatabaseError>;

    /// The stored result of a step of the running job.
    async fn step(&mut self, job: JobId, name: &str) -> Result<Option<String>, DatabaseError>;

    /// Stores the result of a step of the running job, in a transaction of its own. An earlier
    /// result stays. Returns how many steps the job has.
    async fn store_step(&mut self, step: Step) -> Result<u32, DatabaseError>;

    /// The size of the database after the last statement.
    fn size(&self) -> DatabaseSize;
}

/// A transaction that a guest holds between host calls.
#[async_trait]
pub trait OpenTransaction: Send {
    /// Runs a statement in the transaction.
    async fn run(&mut self, statement: Statement, want: Want) -> Result<Answer, DatabaseError>;

    /// Writes an entry into the tenant's outbox in this transaction, which keeps the room for the
    /// entry's jobs until it ends. The first entry after a file was opened checks with `marks` that
    /// the file continues what was relayed; see [`DatabaseEngine::outbox`].
    async fn add_to_outbox(
        &mut self,
        entry: String,
        room: Box<dyn OutboxRoom>,
        marks: &dyn OutboxMarks,
    ) -> Result<(), DatabaseError>;

    /// Marks the running job as completed in this transaction. If that was done before, or the time
    /// of the invocation is over, the transaction can only be rolled back.
    async fn complete(&mut self, job: JobId) -> Result<(), DatabaseError>;

    /// Stores the result of a step of the running job in this transaction. An earlier result stays.
    /// Returns how many steps the job has.
    async fn store_step(&mut self, step: Step) -> Result<u32, DatabaseError>;

    /// What the transaction has done besides running statements.
    fn effects(&self) -> Effects;

    /// Commits the transaction and calls `then`. If the commit fails, the transaction is rolled
    /// back. If it completed a job, it is on the disk when this returns.
    async fn commit(&mut self, then: OnCommit) -> Result<Effects, DatabaseError>;

    /// Rolls the transaction back.
    async fn rollback(&mut self) -> Result<(), DatabaseError>;

    /// Returns an error if the transaction has ended.
    fn check_open(&self) -> Result<(), DatabaseError>;
}

/// A result that is read in pieces.
#[async_trait]
pub trait OpenCursor: Send {
    /// The names of the columns.
    fn columns(&self) -> &[String];

    /// Reads at most `max` rows, or fewer if more would exceed the byte limit of one result. An
    /// empty vector marks the end.
    async fn next(&mut self, max: usize) -> Result<Vec<Vec<Value>>, DatabaseError>;
}

/// The size of a tenant's database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// Bytes that are stored; zero before the first statement.
    pub stored: u64,
    /// The peak memory that the tenant's SQL used while the last statement ran.
    pub memory: u64,
}

/// The resources that the databases hold now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabasesHeld {
    /// Open transactions. An abandoned one counts until it is rolled back.
    pub transactions: u64,
    /// Open cursors.
    pub cursors: u64,
    /// Running statements.
    pub statements: u64,
    /// Tenants whose database is open.
    pub tenants: u64,
    /// Open connections.
    pub connections: u64,
}
