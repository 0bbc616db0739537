//! Why the control plane's database did not do what it was asked.

use std::error::Error;

use crate::domain::resource::Resource;

/// What an operator can do about a database that does not belong to its data folder.
const REMEDY: &str = "restore mortise.db from a backup that belongs to this folder, or start once with \
    `--accept-database` to use it as it is: files that it does not know are moved to `set-aside` then";

/// Why a question was not answered or a change not made.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, read or written.
    #[error("the control plane's database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Something else has this name already.
    #[error("this {0} name is taken")]
    Taken(Resource),
    /// What had this name was deleted and can still be restored.
    #[error(
        "this {0} name is reserved: it was deleted and can still be restored; restore it, or purge it (`DELETE …?purge=true`)"
    )]
    Reserved(Resource),
    /// Something else still needs it.
    #[error("this {0} is in use")]
    InUse(Resource),
    /// The change refers to something that is not there.
    #[error("there is no such {0}")]
    Missing(Resource),
    /// A stored value is not what this host writes.
    #[error(
        "mortise.db has a value that cannot be read in the column `{column}`: {detail}; correct it, or restore \
         the file from a backup"
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
    /// There is no database, but files of tenants.
    #[error(
        "mortise.db is missing or empty, but the data folder was in use ({databases} databases of tenants, {components} \
         components); restore mortise.db from a backup that belongs to this folder, or start once with \
         `--accept-database`: the host then starts empty and moves these files to `set-aside`"
    )]
    Lost {
        /// Databases of tenants.
        databases: usize,
        /// Components.
        components: usize,
    },
    /// The file is shorter than its header says.
    #[error(
        "mortise.db is cut off, or is no SQLite file: it has fewer pages than its header says; restore it from a backup"
    )]
    Cut,
    /// The write-ahead log belongs to another copy of the database.
    #[error(
        "mortise.db is another copy than the one that mortise.db-wal belongs to; put back the mortise.db that was there, \
         or remove mortise.db-wal and mortise.db-shm, with which the changes in them are lost"
    )]
    ForeignLog,
    /// The database is a copy from before tenants were created or deleted.
    #[error(
        "mortise.db is older than its data folder (generation {found}, the folder's mark says {expected}): tenants were \
         created or deleted after this copy was made; {REMEDY}"
    )]
    Older {
        /// The generation of the database.
        found: i64,
        /// The generation of the mark.
        expected: i64,
    },
    /// The database belongs to another data folder.
    #[error("mortise.db belongs to another data folder (the file `mark` names another database); {REMEDY}")]
    Foreign,
    /// The mark cannot be read.
    #[error(
        "the file `mark` in the data folder cannot be read ({0}); restore it from the same backup as mortise.db, or \
         start once with `--accept-database`"
    )]
    Mark(String),
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
