//! A migration of a plugin: one numbered SQL file that changes the tenant's database.

use sha2::{Digest as _, Sha256};

/// A migration of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its place in the order, from 1.
    pub number: u32,
    /// Its name, as in `0001_name.sql`.
    pub name: String,
    /// The statements.
    pub sql: String,
    /// SHA-256 of the statements: an applied migration must not change afterwards.
    pub checksum: [u8; 32],
}

/// Why a file is no migration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMigration {
    /// The file is not called what a migration is called.
    #[error(
        "`{0}` is not called as a migration is: a number from 1, `_`, a name of `a-z`, `0-9`, `_` or `-`, `.sql`"
    )]
    Name(String),
    /// There is nothing in it.
    #[error("`{0}` holds no SQL")]
    Empty(String),
}

const MAX_NAME: usize = 100;

impl Migration {
    /// A migration from its file, such as `0001_create_orders.sql`.
    pub fn parse(file_name: &str, sql: impl Into<String>) -> Result<Self, InvalidMigration> {
        let sql = sql.into();
        let (number, name) =
            parse_name(file_name).ok_or_else(|| InvalidMigration::Name(file_name.to_owned()))?;
        if sql.trim().is_empty() {
            return Err(InvalidMigration::Empty(file_name.to_owned()));
        }
        let checksum = Sha256::digest(sql.as_bytes()).into();
        Ok(Self {
            number,
            name: name.to_owned(),
            sql,
            checksum,
        })
    }

    /// The name of its file.
    pub fn file_name(&self) -> String {
        format!("{:04}_{}.sql", self.number, self.name)
    }
}

fn parse_name(file_name: &str) -> Option<(u32, &str)> {
    let (number, name) = file_name.strip_suffix(".sql")?.split_once('_')?;
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
    let well_formed = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(allowed)
        && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|number| *number > 0)?;
    well_formed.then_some((number, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_a_migration() {
        let migration = Migration::parse("0012_add_stock.sql", "ALTER TABLE x ADD y").unwrap();
        assert_eq!((migration.number, migration.name.as_str()), (12, "add_stock"));
        assert_eq!(migration.file_name(), "0012_add_stock.sql");
        assert_eq!(
            migration.checksum,
            <[u8; 32]>::from(Sha256::digest(b"ALTER TABLE x ADD y"))
        );
    }

    #[test]
    fn what_is_not_a_migration_is_refused() {
        for name in [
            "0001.sql",
            "x_y.sql",
            "0000_zero.sql",
            "0001_a.txt",
            "0001_.sql",
            "0001_a/b.sql",
            "+1_a.sql",
        ] {
            assert_eq!(
                Migration::parse(name, "SELECT 1"),
                Err(InvalidMigration::Name(name.to_owned()))
            );
        }
        assert_eq!(
            Migration::parse("1_a.sql", " \n"),
            Err(InvalidMigration::Empty("1_a.sql".to_owned()))
        );
    }
}
