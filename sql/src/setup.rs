//! Sets up a connection and reads its schema.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _};

use crate::authorizer::Author;
use crate::limits;

/// Sets up a connection for the SQL of `author`: options and statement limits. Foreign keys are
/// enforced, except during migrations, which check them at the end so that a table can be rebuilt.
pub fn set_up(connection: &Connection, author: Author) -> rusqlite::Result<()> {
    let migrates = author == Author::Migration;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, !migrates)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // An unknown double-quoted name is an error, as on every other engine, and not a string.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    limits::apply(connection, migrates)
}

/// Creates the host's table of applied migrations. Plugins cannot access it.
pub const CREATE_BOOKKEEPING: &str = "
    CREATE TABLE IF NOT EXISTS _mortise_migrations (
        plugin TEXT NOT NULL,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        checksum BLOB NOT NULL,
        applied_at INTEGER NOT NULL,
        PRIMARY KEY (plugin, number)
    ) STRICT, WITHOUT ROWID";

/// The SQL texts of the views.
pub fn view_texts(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT sql FROM sqlite_master WHERE type = 'view'")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// Finds a table with a row whose parent row is missing. Returns it with the parent table.
pub fn dangling_reference(connection: &Connection) -> rusqlite::Result<Option<(String, String)>> {
    connection
        .query_row("PRAGMA foreign_key_check", [], |row| {
            Ok((row.get(0)?, row.get(2)?))
        })
        .optional()
}
