//! The tenant's own SQL database.
//!
//! `host.rs` answers the host calls: it charges, checks the grant, clamps and translates. It speaks to the engine in
//! the words of `statement.rs` and `error.rs` and knows no engine; `sqlite/` is the one there is, one file for each
//! tenant. Another engine is a folder beside it with the same [`Databases`], [`Transaction`] and [`Cursor`].

mod error;
mod host;
mod sqlite;
mod statement;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use crate::sqlite::configure as configure_sqlite;
pub use error::{ConstraintKind, DatabaseError};
pub use host::{DatabaseView, add_to_linker};
pub use sqlite::{Applied, AppliedMigration, Cursor, Databases, DatabasesHeld, MigrationError, Transaction};
pub use statement::{Answer, Rows, Scope, Statement, Value, Want, rows_weight};

use super::Invocation;
use sqlite::OpenMark;

/// The database as one invocation uses it.
pub struct DatabaseState {
    databases: Arc<Databases>,
    scope: Scope,
    /// The invocation holds an open transaction, and with it the tenant's only writer.
    in_transaction: Arc<AtomicBool>,
}

impl DatabaseState {
    /// The state of an invocation that has not used it yet. It is made when the guest first does, so that nothing in it may
    /// depend on when that is.
    pub fn new(databases: &Arc<Databases>, invocation: &Invocation) -> Self {
        Self {
            databases: databases.clone(),
            scope: Scope::of(invocation),
            in_transaction: Arc::default(),
        }
    }

    fn is_in_transaction(&self) -> bool {
        self.in_transaction.load(Ordering::Relaxed)
    }

    fn mark_transaction(&self) -> OpenMark {
        OpenMark::set(&self.in_transaction)
    }
}
