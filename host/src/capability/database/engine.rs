//! What an engine does that keeps the databases of tenants.
//!
//! The host calls, the lifecycle and the gauges know these traits and the words of `statement.rs`,
//! `error.rs` and `migration.rs`. What a session may do at once (how many writers there are,
//! whether a statement may run beside an open transaction) is the engine's to say.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;

use super::error::DatabaseError;
use super::migration::{Applied, MigrationError};
use super::statement::{Answer, Scope, Statement, Value, Want};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::manifest::Contract;
use crate::domain::migration::Migration;

/// An open transaction. Dropped, it is rolled back before anybody sees what it did.
pub type Transaction = Box<dyn OpenTransaction>;

/// A result under way. Dropped, it stops.
pub type Cursor = Box<dyn OpenCursor>;

/// The databases of all tenants.
#[async_trait]
pub trait DatabaseEngine: Send + Sync {
    /// How one invocation uses its tenant's database, within its limits and its time. Opens nothing
    /// yet.
    fn session(self: Arc<Self>, scope: Scope) -> Box<dyn Session>;

    /// Applies the migrations of `plugin` that are pending, all of them or none. Run again, it
    /// finds nothing to do. `contract` is the one that the plugin is written for.
    async fn migrate(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        contract: Contract,
        limits: &Limits,
        migrations: &[Migration],
    ) -> Result<Applied, MigrationError>;

    /// Closes a tenant's database and deletes it. The tenant must not be served any more. A tenant
    /// without a database is no error.
    async fn forget(&self, tenant: TenantId) -> io::Result<()>;

    /// The tenants whose databases are there and have content.
    async fn tenants_with_data(&self) -> io::Result<Vec<TenantId>>;

    /// Says that a tenant's database existed and is missing or empty now. The engine does not use
    /// it, and makes no empty one in its place, until it is there again.
    fn mark_missing(&self, tenant: TenantId);

    /// The tenants whose databases are damaged or missing, as far as it was noticed.
    fn damaged(&self) -> Vec<TenantId>;

    /// What is held now. Takes locks that others hold for moments.
    fn held(&self) -> DatabasesHeld;

    /// Closes what nobody uses, so that what is stored is whole. To be called once no invocation is
    /// under way.
    async fn close(self: Arc<Self>);
}

/// How one invocation uses its tenant's database. A future of these methods that is dropped half
/// way ends what it does.
#[async_trait]
pub trait Session: Send {
    /// Runs a statement on its own.
    async fn run(&mut self, statement: Statement, want: Want) -> Result<Answer, DatabaseError>;

    /// Begins a transaction.
    async fn begin(&mut self) -> Result<Transaction, DatabaseError>;

    /// Starts a statement whose rows are read piece by piece.
    async fn open(&mut self, statement: Statement) -> Result<Cursor, DatabaseError>;

    /// What the database takes after the last statement.
    fn size(&self) -> DatabaseSize;
}

/// A transaction that a guest holds between host calls.
#[async_trait]
pub trait OpenTransaction: Send {
    /// Runs a statement in it.
    async fn run(&mut self, statement: Statement, want: Want) -> Result<Answer, DatabaseError>;

    /// Ends it and keeps what it did. If that fails, nothing of it stays.
    async fn commit(&mut self) -> Result<(), DatabaseError>;

    /// Ends it without a trace.
    async fn rollback(&mut self) -> Result<(), DatabaseError>;

    /// An error if it is over.
    fn check_open(&self) -> Result<(), DatabaseError>;
}

/// A result that is read piece by piece.
#[async_trait]
pub trait OpenCursor: Send {
    /// The names of the columns.
    fn columns(&self) -> &[String];

    /// At most `max` rows, fewer if more would not fit into the bytes of one result. None is the
    /// end.
    async fn next(&mut self, max: usize) -> Result<Vec<Vec<Value>>, DatabaseError>;
}

/// What a tenant's database takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// Bytes that are stored; zero before the first statement.
    pub stored: u64,
    /// The most memory that the host had taken for the tenant while its last statement ran.
    pub memory: u64,
}

/// What the databases hold at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabasesHeld {
    /// Open transactions, until they are rolled back if nobody ends them.
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
