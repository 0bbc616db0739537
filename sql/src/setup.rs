//! Setting up a connection, and looking at its schema.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _};

use crate::authorizer::Author;
use crate::limits;

/// Sets up a connection for the SQL of `author`: what SQLite accepts, and the limits of statements.
/// Foreign keys are enforced, but for migrations, after which they are checked, so that a table can
/// be rebuilt.
pub fn set_up(connection: &Connection, author: Author) -> rusqlite::Result<()> {
    let migrates = author == Author::Migration;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, !migrates)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // A double-quoted name that does not exist is an error, as on every other engine, and not a string.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    limits::apply(connection, migrates)
}

/// Makes the table of what was applied to a database. It is the host's, and its name is refused to plugins.
pub const CREATE_BOOKKEEPING: &str = "
    CREATE TABLE IF NOT EXISTS _mortise_migrations (
        plugin TEXT NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        checksum BLOB NOT NULL,
        applied_at INTEGER NOT NULL,
        PRIMARY KEY (plugin, number)
    ) STRICT, WITHOUT ROWID";

/// The texts that made the views.
pub fn view_texts(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_master WHERE type = 'view'")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// A table with a row whose parent is missing, and the parent's table.
pub fn dangling_reference(connection: &Connection) -> rusqlite::Result<Option<(String, String)>> {
    connection
        .query_row("PRAGMA foreign_key_check", [], |row| {
            Ok((row.get(0)?, row.get(2)?))
        })
        .optional()
}
