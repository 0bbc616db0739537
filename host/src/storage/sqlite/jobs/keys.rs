//! Concurrency keys: how many jobs of a key are ready or running, and which one is next.
//!
//! A job with a key that becomes due is first blocked. Settling its key then makes it ready if
//! there is room. So whatever made the room, jobs of an ordered key become ready in the order of
//! their addition, and those of other keys by priority and then in that order.

use sqlx::SqliteConnection;

use super::super::{row, unavailable};
use super::effects::KeyChange;
use super::stored::Key;
use crate::storage::DbError;

/// The most blocked jobs that are read at once.
const BLOCK: u32 = 100;

/// Releases the jobs that left a key, and makes the next blocked ones ready.
pub(super) async fn settle(
    connection: &mut SqliteConnection,
    key: &Key,
    change: KeyChange,
) -> Result<(), DbError> {
    let before = occupied(connection, key).await?;
    let mut occupied = before.saturating_sub(change.released);
    // Most of the time, as many jobs become ready as left or came.
    let mut block = change.released.saturating_add(change.blocked).clamp(1, BLOCK);
    loop {
        let rows = sqlx::query(NEXT)
            .bind(key.tenant.as_str())
            .bind(key.plugin.as_str())
            .bind(key.name.as_str())
            .bind(key.key.as_str())
            .bind(i64::from(block))
            .fetch_all(&mut *connection)
            .await
            .map_err(unavailable)?;
        let mut ready = Vec::new();
        for row in &rows {
            // Each job has the limit that its kind had when it was added.
            let limit: u32 = row::number(row, "concurrency_limit")?;
            if occupied >= limit {
                break;
            }
            occupied += 1;
            ready.push(row::integer(row, "seq")?);
        }
        if !ready.is_empty() {
            sqlx::query(READY)
                .bind(row::to_json(&ready, "jobs.seq")?)
                .execute(&mut *connection)
                .await
                .map_err(unavailable)?;
        }
        let read = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if ready.len() < rows.len() || read < block {
            break;
        }
        block = BLOCK;
    }
    match occupied == before {
        true => Ok(()),
        false => write(connection, key, occupied).await,
    }
}

async fn occupied(connection: &mut SqliteConnection, key: &Key) -> Result<u32, DbError> {
    let row = sqlx::query(OCCUPIED)
        .bind(key.tenant.as_str())
        .bind(key.plugin.as_str())
        .bind(key.name.as_str())
        .bind(key.key.as_str())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    row.map_or(Ok(0), |row| row::number(&row, "occupied"))
}

async fn write(connection: &mut SqliteConnection, key: &Key, occupied: u32) -> Result<(), DbError> {
    let statement = match occupied {
        0 => sqlx::query(FREE),
        _ => sqlx::query(OCCUPY),
    };
    let statement = statement
        .bind(key.tenant.as_str())
        .bind(key.plugin.as_str())
        .bind(key.name.as_str())
        .bind(key.key.as_str());
    let statement = match occupied {
        0 => statement,
        _ => statement.bind(i64::from(occupied)),
    };
    statement.execute(connection).await.map_err(unavailable)?;
    Ok(())
}

pub(super) const OCCUPIED: &str = "SELECT occupied FROM job_keys \
    WHERE tenant = $1 AND plugin = $2 AND name = $3 AND concurrency_key = $4";

/// The expression is that of the index `jobs_next_of_key`.
pub(super) const NEXT: &str = "SELECT seq, concurrency_limit FROM jobs WHERE state = 'blocked' \
    AND tenant = $1 AND plugin = $2 AND name = $3 AND concurrency_key = $4 \
    ORDER BY CASE concurrency_ordered WHEN 1 THEN 0 ELSE priority END, seq LIMIT $5";

pub(super) const READY: &str =
    "UPDATE jobs SET state = 'ready', occupies = 1 WHERE seq IN (SELECT value FROM json_each($1))";

const FREE: &str = "DELETE FROM job_keys \
    WHERE tenant = $1 AND plugin = $2 AND name = $3 AND concurrency_key = $4";

const OCCUPY: &str = "INSERT INTO job_keys (tenant, plugin, name, concurrency_key, occupied) \
    VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (tenant, plugin, name, concurrency_key) DO UPDATE SET occupied = excluded.occupied";
