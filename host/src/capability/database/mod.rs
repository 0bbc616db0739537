//! The tenant's own SQL database.
//!
//! `host.rs` answers the host calls: it charges, checks the grant, clamps and translates. It speaks
//! to the engine through the traits of `engine.rs`, in the words of `statement.rs`, `error.rs` and
//! `migration.rs`, and knows no engine. `sqlite/` is the one that there is, one file for each
//! tenant. Another engine is a folder beside it that implements [`DatabaseEngine`].

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
    Cursor, DatabaseEngine, DatabaseSize, DatabasesHeld, OpenCursor, OpenTransaction, Session, Transaction,
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
    /// Made with the first call that the grant allows.
    session: Option<Box<dyn Session>>,
}

impl DatabaseState {
    /// The state of an invocation that has not used it yet. It is made when the guest first does, so that nothing in it may
    /// depend on when that is.
    pub fn new(engine: Arc<dyn DatabaseEngine>, invocation: &Invocation) -> Self {
        Self {
            engine,
            scope: Scope::of(invocation),
            session: None,
        }
    }

    fn session(&mut self) -> &mut dyn Session {
        let make = || self.engine.clone().session(self.scope.clone());
        &mut **self.session.get_or_insert_with(make)
    }
}
