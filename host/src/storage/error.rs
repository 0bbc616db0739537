//! Why the control plane's database did not do what it was asked.

use std::error::Error;

/// Why a question was not answered or a change not made.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, read or written.
    #[error("the control plane's database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Something else has this name already.
    #[error("this {0} is taken")]
    Taken(&'static str),
    /// Something else still needs it.
    #[error("this {0} is in use")]
    InUse(&'static str),
    /// The change refers to something that is not there.
    #[error("there is no such {0}")]
    Missing(&'static str),
    /// A stored value is not what this host writes.
    #[error(
        "the column `{column}` of the control plane's database holds a value that cannot be read: {detail}"
    )]
    Corrupt {
        /// Where.
        column: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A newer host has written to the database.
    #[error(
        "the database has migration {found}, but this mortise knows only up to {known}; \
         run a newer mortise or restore a backup from before the upgrade"
    )]
    Newer {
        /// The newest migration that was applied.
        found: i64,
        /// The newest that this executable has.
        known: i64,
    },
    /// A migration of the control plane failed.
    #[error("the control plane's database could not be brought up to date")]
    Migration(#[source] Box<dyn Error + Send + Sync>),
}

impl DbError {
    /// A stored value that cannot be read.
    pub fn corrupt(column: &'static str, detail: impl ToString) -> Self {
        Self::Corrupt {
            column,
            detail: detail.to_string(),
        }
    }
}
