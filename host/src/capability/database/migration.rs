//! What changing a schema answers, the same for every engine, and how the migrations of a version
//! are compared with those that a database has.

use std::collections::BTreeMap;

use mortise_sql::migration::file_name;

use super::error::DatabaseError;
use crate::domain::clock::Timestamp;
use crate::domain::migration::Migration;

/// What a run of the migrations did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// File names of the migrations that were pending, in the order in which they were applied.
    pub applied: Vec<String>,
    /// File names of migrations that the database has and this version does not know: it is older
    /// than the schema.
    pub beyond: Vec<String>,
    /// What is wrong with what was applied, and was accepted all the same.
    pub warnings: Vec<String>,
}

/// A migration that the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its place in the order.
    pub number: u64,
    /// What it is called.
    pub name: String,
    /// SHA-256 of its statements.
    pub checksum: [u8; 32],
    /// When it was applied.
    pub applied_at: Timestamp,
}

/// Why nothing was applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A migration was edited after it had been applied.
    #[error(
        "the migration {0} was changed after it had been applied; undo the change and put it into a new migration"
    )]
    Changed(String),
    /// Another migration was applied under the number, as where two branches used the next one.
    #[error(
        "the number of the migration {file} is taken: {applied} was applied to this tenant's database under it; keep \
         that file, and give {file} a number above {newest}"
    )]
    Taken {
        /// The migration.
        file: String,
        /// What was applied.
        applied: String,
        /// The largest number that is taken.
        newest: u64,
    },
    /// A migration that was applied is not there, though later ones are.
    #[error("the migration {0} was applied and is missing from this version; put it back")]
    Missing(String),
    /// Migrations are not in the order of their numbers.
    #[error("the migration {0} does not come after the one before it; numbers strictly increase")]
    Order(String),
    /// One was put before those that were applied.
    #[error(
        "the migration {file} comes too late: later ones were applied to this tenant's database already; give it a \
         number above {newest}"
    )]
    Late {
        /// The migration.
        file: String,
        /// The largest number that is taken.
        newest: u64,
    },
    /// A statement failed.
    #[error("the migration {file} failed at line {line}: {message}")]
    Failed {
        /// The migration.
        file: String,
        /// Where the statement begins, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// Rows refer to rows that are not there any more.
    #[error("the migrations leave rows of `{table}` that refer to missing rows of `{parent}`")]
    ForeignKeys {
        /// Whose rows.
        table: String,
        /// What they refer to.
        parent: String,
    },
    /// A type changes what is stored.
    #[error("{0}")]
    Column(String),
    /// The database could not be used, or not in time.
    #[error("the migrations could not be applied: {0}")]
    Database(#[from] DatabaseError),
}

impl MigrationError {
    /// True where neither the plugin nor its tenant can do anything about it.
    pub fn is_host_fault(&self) -> bool {
        matches!(self, MigrationError::Database(DatabaseError::Unavailable(_)))
    }
}

impl AppliedMigration {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        file_name(self.number, &self.name)
    }
}

/// An error where numbers do not increase.
pub(super) fn check_order(migrations: &[Migration]) -> Result<(), MigrationError> {
    let mut pairs = migrations.windows(2);
    match pairs.find(|pair| pair[0].number >= pair[1].number) {
        Some(pair) => Err(MigrationError::Order(pair[1].file_name())),
        None => Ok(()),
    }
}

/// What of `migrations` is pending, and the names of those that only the database knows.
pub(super) fn compare<'m>(
    before: &BTreeMap<u64, AppliedMigration>,
    migrations: &'m [Migration],
) -> Result<(Vec<&'m Migration>, Vec<String>), MigrationError> {
    let newest_known = migrations.last().map_or(0, |migration| migration.number);
    let newest_applied = before.keys().next_back().copied().unwrap_or(0);
    let mut pending = Vec::new();
    for migration in migrations {
        match before.get(&migration.number) {
            Some(applied) if migration.has_checksum(&applied.checksum) => {}
            Some(applied) if applied.name != migration.name => {
                return Err(MigrationError::Taken {
                    file: migration.file_name(),
                    applied: applied.file_name(),
                    newest: newest_applied.max(newest_known),
                });
            }
            Some(_) => return Err(MigrationError::Changed(migration.file_name())),
            None if migration.number < newest_applied => {
                return Err(MigrationError::Late {
                    file: migration.file_name(),
                    newest: newest_applied.max(newest_known),
                });
            }
            None => pending.push(migration),
        }
    }
    let mut beyond = Vec::new();
    for applied in before.values() {
        let is_known = migrations
            .binary_search_by_key(&applied.number, |migration| migration.number)
            .is_ok();
        if !is_known && applied.number < newest_known {
            return Err(MigrationError::Missing(applied.file_name()));
        }
        if !is_known {
            beyond.push(applied.file_name());
        }
    }
    Ok((pending, beyond))
}
