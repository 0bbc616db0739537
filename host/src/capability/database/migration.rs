//! The results of a migration run, and the comparison of a version's migrations with those that a
//! database has.

use std::collections::BTreeMap;

use mortise_sql::migration::file_name;

use super::error::DatabaseError;
use crate::domain::clock::Timestamp;
use crate::domain::migration::Migration;

/// The result of a migration run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// File names of the migrations that were pending, in the order in which they were applied.
    pub applied: Vec<String>,
    /// File names of migrations that were applied but are not part of this version. The version is
    /// older than the schema.
    pub beyond: Vec<String>,
    /// Problems of the applied migrations that were accepted.
    pub warnings: Vec<String>,
}

/// A migration that was applied to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedMigration {
    /// Its number.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// SHA-256 of its statements.
    pub checksum: [u8; 32],
    /// When it was applied.
    pub applied_at: Timestamp,
}

/// Why no migration was applied.
#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    /// A migration was edited after it had been applied.
    #[error(
        "the migration {0} was changed after it had been applied; undo the change and put it into a new migration"
    )]
    Changed(String),
    /// Another migration has this number already, for example because two branches both used the
    /// next free one.
    #[error(
        "the number of the migration {file} is taken: {applied} was applied to this tenant's database under it; keep \
         that file, and give {file} a number above {newest}"
    )]
    Taken {
        /// The migration.
        file: String,
        /// The applied migration with the same number.
        applied: String,
        /// The largest number that is taken.
        newest: u64,
    },
    /// An applied migration is missing from the version, although the version has later ones.
    #[error("the migration {0} was applied and is missing from this version; put it back")]
    Missing(String),
    /// Migrations are not in the order of their numbers.
    #[error("the migration {0} does not come after the one before it; numbers strictly increase")]
    Order(String),
    /// A new migration has a smaller number than an applied one.
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
        /// The line on which the statement begins, from 1.
        line: usize,
        /// The error message.
        message: String,
    },
    /// Rows refer to missing rows.
    #[error("the migrations leave rows of `{table}` that refer to missing rows of `{parent}`")]
    ForeignKeys {
        /// The table that has the foreign key.
        table: String,
        /// The table that the key refers to.
        parent: String,
    },
    /// The declared type of a column would convert the stored values.
    #[error("{0}")]
    Column(String),
    /// The database was unavailable or too slow.
    #[error("the migrations could not be applied: {0}")]
    Database(#[from] DatabaseError),
}

impl MigrationError {
    /// Whether the fault is the host's, and neither the plugin's nor the tenant's.
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

/// Returns an error if the numbers do not strictly increase.
pub(super) fn check_order(migrations: &[Migration]) -> Result<(), MigrationError> {
    let mut pairs = migrations.windows(2);
    match pairs.find(|pair| pair[0].number >= pair[1].number) {
        Some(pair) => Err(MigrationError::Order(pair[1].file_name())),
        None => Ok(()),
    }
}

/// Returns the pending ones of `migrations`, and the file names of those that only the database
/// has.
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
