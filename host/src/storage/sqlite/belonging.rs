//! Checks that a database belongs to its data folder, before anything is written to either.

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnectOptions;

use super::mark::Mark;
use super::{pool, row, unavailable};
use crate::storage::DbError;

/// Refuses a write-ahead log of another copy of the file, since SQLite would read both as a damaged
/// database. Each start announces its name in the mark and then writes it into the file, before the
/// log begins. A start that was killed in between leaves a file with its own name or the former
/// one.
pub(super) async fn check_log(options: &SqliteConnectOptions, marked: &Mark) -> Result<(), DbError> {
    if marked.started.is_empty() {
        return Ok(());
    }
    // Reads the file without its log.
    let reader = reader(options.clone().immutable(true)).await?;
    let started = sqlx::query("SELECT started FROM host").fetch_one(&reader).await;
    reader.close().await;
    match started {
        Ok(row) => {
            let started = row::text(&row, "started")?;
            match started == marked.started || (!started.is_empty() && started == marked.starting) {
                true => Ok(()),
                false => Err(DbError::ForeignLog),
            }
        }
        // The copy is older than the names of starts.
        Err(error) if error.to_string().contains("no such") => Err(DbError::ForeignLog),
        Err(error) => Err(unavailable(error)),
    }
}

/// Refuses a database that the folder's mark does not name, or that is older than the mark.
pub(super) async fn check_mark(options: &SqliteConnectOptions, marked: &Mark) -> Result<(), DbError> {
    let reader = reader(options.clone()).await?;
    let checked = compare(&reader, marked).await;
    reader.close().await;
    checked
}

/// A read-only connection. A refused database and its write-ahead log must stay unchanged, since
/// the operator may still need either.
async fn reader(options: SqliteConnectOptions) -> Result<SqlitePool, DbError> {
    let reader = pool(1).connect_with(options.read_only(true)).await;
    reader.map_err(unavailable)
}

async fn compare(reader: &SqlitePool, marked: &Mark) -> Result<(), DbError> {
    let older = |found| DbError::Older {
        found,
        expected: marked.generation,
    };
    let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'host'")
        .fetch_optional(reader)
        .await
        .map_err(unavailable)?;
    if table.is_none() {
        // The copy is older than the marks.
        return Err(older(0));
    }
    let row = sqlx::query("SELECT id, generation FROM host")
        .fetch_one(reader)
        .await
        .map_err(unavailable)?;
    if row::text(&row, "id")? != marked.id {
        return Err(DbError::Foreign);
    }
    let generation = row::integer(&row, "generation")?;
    if generation < marked.generation {
        return Err(older(generation));
    }
    Ok(())
}
