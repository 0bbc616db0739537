//! The native baselines: the same operations without a sandbox.

use std::time::Duration;

use anyhow::Result;
use moka::sync::Cache;
use sqlx::SqlitePool;

use crate::native::Order;

/// Parses and returns JSON.
pub fn order(body: &str) -> Result<String> {
    let order: Order = serde_json::from_str(body)?;
    Ok(serde_json::to_string(&order.one_more())?)
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
