//! A migration of a plugin: one numbered SQL file that changes the tenant's database.

use mortise_sql::migration::{WrongName, canonical, file_name, former_forms, normal, parse_name};
use sha2::{Digest as _, Sha256};

/// A migration of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The position in the order, from 1. It may be a time, such as 20240101120000.
    pub number: u64,
    /// The name, as in `0001_name.sql`.
    pub name: String,
    /// The SQL statements of the file.
    pub sql: String,
    /// SHA-256 of the statements after normalization of what version control changes. An applied
    /// migration must not change afterwards.
    pub checksum: [u8; 32],
}

/// Why a file is not a migration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMigration {
    /// The name of the file does not have the form of a migration's name.
    #[error("`{file}` is not called as a migration is, such as `0001_name.sql`: {problem}")]
    Name {
        /// The name of the file.
        file: String,
        /// What is wrong with the name.
        problem: WrongName,
    },
    /// The file is empty.
    #[error("`{0}` holds no SQL")]
    Empty(String),
}

impl Migration {
    /// Reads a migration from a file such as `0001_create_orders.sql`.
    pub fn parse(file: &str, sql: impl Into<String>) -> Result<Self, InvalidMigration> {
        let sql = sql.into();
        let (number, name) = parse_name(file).map_err(|problem| InvalidMigration::Name {
            file: file.to_owned(),
            problem,
        })?;
        if normal(&sql).trim().is_empty() {
            return Err(InvalidMigration::Empty(file.to_owned()));
        }
        Ok(Self {
            number,
            name: name.to_owned(),
            checksum: digest(&canonical(&sql)),
            sql,
        })
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        file_name(self.number, &self.name)
    }

    /// Whether `checksum` belongs to these statements. Earlier hosts computed it from the
    /// unnormalized file.
    pub fn has_checksum(&self, checksum: &[u8; 32]) -> bool {
        *checksum == self.checksum
            || *checksum == digest(&self.sql)
            || former_forms(&self.sql).any(|form| *checksum == digest(&form))
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_a_migration() {
        let migration = Migration::parse("0012_add_stock.sql", "ALTER TABLE x ADD y\n").unwrap();
        assert_eq!((migration.number, migration.name.as_str()), (12, "add_stock"));
        assert_eq!(migration.file_name(), "0012_add_stock.sql");
        assert_eq!(migration.checksum, digest("ALTER TABLE x ADD y\n"));
        let dated = Migration::parse("20240101120000_init.sql", "SELECT 1").unwrap();
        assert_eq!(
            (dated.number, dated.file_name().as_str()),
            (20_240_101_120_000, "20240101120000_init.sql")
        );
    }

    #[test]
    fn what_is_not_a_migration_is_refused_with_the_reason() {
        for (name, reason) in [
            ("0000_zero.sql", "numbers begin with 1"),
            ("V1__init.sql", "write `0001_name.sql` for `V1__name.sql`"),
            ("0001_a.down.sql", "none for the way back"),
            ("99999999999999999999_a.sql", "larger than 9223372036854775807"),
        ] {
            let refused = Migration::parse(name, "SELECT 1").unwrap_err().to_string();
            assert!(refused.contains(reason) && refused.contains(name), "{refused}");
        }
        for nothing in [" \n", "\u{feff}\r\n", ""] {
            assert_eq!(
                Migration::parse("1_a.sql", nothing),
                Err(InvalidMigration::Empty("1_a.sql".to_owned()))
            );
        }
    }

    #[test]
    fn checksums_of_earlier_hosts_are_known() {
        let forms = [
            "a;\nb;\n",
            "a;\r\nb;\r\n",
            "\u{feff}a;\nb;\n",
            "a;\nb;",
            "\u{feff}a;\r\nb;",
        ];
        for file in forms {
            let migration = Migration::parse("1_a.sql", file).unwrap();
            for stored in forms {
                assert!(migration.has_checksum(&digest(stored)), "{file:?} {stored:?}");
            }
            assert!(!migration.has_checksum(&digest("a;\nc;\n")));
        }
        // Checksums of earlier hosts are accepted as long as the file is unchanged.
        let odd = "a;\r\nb;\n\n\n";
        assert!(
            Migration::parse("1_a.sql", odd)
                .unwrap()
                .has_checksum(&digest(odd))
        );
    }
}
