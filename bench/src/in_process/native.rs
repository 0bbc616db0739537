//! The same operations without a sandbox: what they cost at the least.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::native::NOTES;

#[derive(Deserialize, Serialize)]
struct Order {
    product: String,
    quantity: u32,
    note: String,
}

/// JSON in, JSON out.
pub fn order(body: &str) -> Result<String> {
    let mut order: Order = serde_json::from_str(body)?;
    order.quantity += 1;
    Ok(serde_json::to_string(&order)?)
}

/// A cache with one entry that can expire.
pub fn cache() -> Cache<String, String> {
    let cache = Cache::builder()
        .max_capacity(1 << 20)
        .weigher(|key: &String, value: &String| u32::try_from(key.len() + value.len()).unwrap_or(u32::MAX))
        .time_to_live(Duration::from_secs(3_600))
        .build();
    cache.insert("greeting".to_owned(), "good morning".to_owned());
    cache
}

/// A database with the plugin's table, as durable as a tenant's.
pub async fn database(folder: &Path) -> Result<SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("native.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new()
        .max_connections(3)
        .connect_with(options)
        .await?;
    sqlx::raw_sql(NOTES).execute(&pool).await?;
    Ok(pool)
}

/// One row by its key.
pub async fn select(pool: &SqlitePool) -> Result<(i64, String)> {
    let row = sqlx::query_as("SELECT id, body FROM notes WHERE id = $1")
        .bind(7)
        .fetch_one(pool)
        .await?;
    Ok(row)
}

/// A transaction of two statements.
pub async fn transaction(pool: &SqlitePool) -> Result<()> {
    let mut transaction = pool.begin().await?;
    for id in [7, 8] {
        sqlx::query("UPDATE notes SET body = $2 WHERE id = $1")
            .bind(id)
            .bind("changed")
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}
