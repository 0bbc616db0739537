//! The tenant's own SQL database.
//!
//! `host.rs` implements the host calls: it counts them, checks the grant, clamps arguments and
//! converts types. It uses the engine through the traits of `engine.rs`. `sqlite/` is the only
//! engine, with one file for each tenant. Another engine would be a folder beside it that
//! implements [`DatabaseEngine`].

mod effects;
mod engine;
mod error;
mod host;
mod migration;
mod sqlite;
mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use crate::sqlite::configure as configure_sqlite;
pub use engine::{
    Cursor, DatabaseEngine, DatabaseSize, DatabasesHeld, Effects, OnCommit, OpenCursor, OpenTransaction,
    OutboxBatch, OutboxMarks, OutboxRoom, Session, Step, Transaction,
};
pub use error::{ConstraintKind, DatabaseError};
pub use host::{DatabaseView, add_to_linker};
pub use migration::{Applied, AppliedMigration, MigrationError};
pub use sqlite::SqliteDatabases;
pub use statement::{Answer, Rows, Scope, Statement, Value, Want, rows_weight};

use super::Invocation;

/// The database as one invocation uses it.
pub struct DatabaseState {
    engine: Arc<dyn DatabaseEngine>,
    scope: Scope,
    /// Created by the first call that the grant allows.
    session: Option<Box<dyn Session>>,
}

impl DatabaseState {
    /// Creates the state of an invocation. This happens at the guest's first database call, so
    /// nothing here may depend on the time of creation.
    pub fn new(engine: Arc<dyn DatabaseEngine>, invocation: &Invocation) -> Self {
        Self {
            engine,
            scope: Scope::of(invocation),
            session: None,
        }
    }

    /// The session, which is created at the first call.
    pub(super) fn session(&mut self) -> &mut dyn Session {
        let make = || self.engine.clone().session(self.scope.clone());
        &mut **self.session.get_or_insert_with(make)
    }
}
