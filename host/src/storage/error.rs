//! Errors of the control plane's database.

use std::error::Error;

use crate::domain::id::JobId;
use crate::domain::resource::Resource;

/// The remedy for a database that does not belong to its data folder.
const REMEDY: &str = "restore mortise.db from a backup that belongs to this folder, or start once with \
    `--accept-database` to use it as it is: files that it does not know are moved to `set-aside` then";

/// Why a query or a change failed.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The database cannot be reached, read or written.
    #[error("the control plane's database is unavailable")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Another resource has this name.
    #[error("this {0} name is taken")]
    Taken(Resource),
    /// A deleted resource has this name and can still be restored.
    #[error(
        "this {0} name is reserved: it was deleted and can still be restored; restore it, or purge it (`DELETE …?purge=true`)"
    )]
    Reserved(Resource),
    /// Another resource refers to it.
    #[error("this {0} is in use")]
    InUse(Resource),
    /// An ended job cannot run again, because a live job has the same unique key.
    #[error(
        "job {0} is live and has the same unique key, so this one cannot run again now; wait until that one has \
         ended, or cancel it"
    )]
    UniqueKeyTaken(JobId),
    /// The change refers to a missing resource.
    #[error("there is no such {0}")]
    Missing(Resource),
    /// A stored value is not valid.
    #[error(
        "mortise.db has a value that cannot be read in the column `{column}`: {detail}; correct it, or restore \
         the file from a backup"
    )]
    Corrupt {
        /// The column.
        column: &'static str,
        /// What is wrong with the value.
        detail: String,
    },
    /// A newer host has migrated the database.
    #[error(
        "the database has migration {found}, but this mortise knows only up to {known}; \
         run a newer mortise or restore a backup from before the upgrade"
    )]
    Newer {
        /// The newest applied migration.
        found: i64,
        /// The newest migration of this executable.
        known: i64,
    },
    /// The database is missing, but the data folder has files of tenants.
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
        "mortise.db is truncated, or is not a SQLite file: it has fewer pages than its header says; \
         restore it from a backup"
    )]
    Cut,
    /// The write-ahead log belongs to another copy of the database.
    #[error(
        "mortise.db and mortise.db-wal belong to different copies; put back the mortise.db that was there, \
         or remove mortise.db-wal and mortise.db-shm, with which the changes in them are lost"
    )]
    ForeignLog,
    /// The database is an old copy: tenants were created or deleted after it was made.
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
    /// The mark of the data folder cannot be read.
    #[error(
        "the file `mark` in the data folder cannot be read ({0}); restore it from the same backup as mortise.db, or \
         start once with `--accept-database`"
    )]
    Mark(String),
    /// A migration of the control plane failed.
    #[error("the control plane's database could not be migrated")]
    Migration(#[source] Box<dyn Error + Send + Sync>),
}

impl DbError {
    /// An error for a stored value that is not valid.
    pub fn corrupt(column: &'static str, detail: impl ToString) -> Self {
        Self::Corrupt {
            column,
            detail: detail.to_string(),
        }
    }
}
