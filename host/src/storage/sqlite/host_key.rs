//! The check value of the host's key in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, audit, change, row, unavailable, webhooks_out};
use crate::domain::audit::Change;
use crate::domain::id::TenantId;
use crate::storage::host_key::Reseal;
use crate::storage::vault::Sealed;
use crate::storage::{DbError, HostKeys, Resealed};

/// Secrets per query.
const AT_ONCE: u32 = 100;

#[async_trait]
impl HostKeys for SqliteRepository {
    async fn key_check(&self) -> Result<Option<String>, DbError> {
        let row = sqlx::query("SELECT key_check FROM host")
            .fetch_one(&self.readers)
            .await
            .map_err(unavailable)?;
        let check = row::text(&row, "key_check")?;
        Ok((!check.is_empty()).then_some(check))
    }

    async fn set_key_check(&self, check: &str, change: Option<&Change>) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        put_check(&mut transaction, check).await?;
        if let Some(change) = change {
            audit::insert(&mut transaction, None, change).await?;
        }
        transaction.commit().await.map_err(unavailable)
    }

    async fn some_secrets(&self, most: u32) -> Result<Vec<(TenantId, String, Sealed)>, DbError> {
        let rows = sqlx::query("SELECT tenant, name, sealed FROM secrets ORDER BY tenant, name LIMIT $1")
            .bind(i64::from(most))
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn reseal(&self, check: &str, change: &Change, reseal: &Reseal<'_>) -> Result<Resealed, DbError> {
        let mut transaction = self.begin().await?;
        let mut resealed = Resealed::default();
        let mut last = (String::new(), String::new());
        loop {
            let rows = sqlx::query(
                "SELECT tenant, name, sealed FROM secrets WHERE (tenant, name) > ($1, $2) \
                 ORDER BY tenant, name LIMIT $3",
            )
            .bind(last.0.as_str())
            .bind(last.1.as_str())
            .bind(i64::from(AT_ONCE))
            .fetch_all(&mut *transaction)
            .await
            .map_err(unavailable)?;
            let Some(end) = rows.last() else { break };
            last = (row::text(end, "tenant")?, row::text(end, "name")?);
            for row in &rows {
                let (tenant, name, sealed) = read(row)?;
                let Some(sealed) = reseal(tenant, &name, &sealed).map_err(DbError::Unavailable)? else {
                    resealed.left.push((tenant, name));
                    continue;
                };
                sqlx::query("UPDATE secrets SET sealed = $3 WHERE tenant = $1 AND name = $2")
                    .bind(tenant.to_string())
                    .bind(name)
                    .bind(sealed.as_bytes())
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                resealed.secrets += 1;
            }
        }
        webhooks_out::reseal(&mut transaction, reseal, &mut resealed).await?;
        put_check(&mut transaction, check).await?;
        audit::insert(&mut transaction, None, change).await?;
        let raised = change::raise_with_secrets(&mut transaction).await?;
        transaction.commit().await.map_err(unavailable)?;
        self.notifier.notify(raised);
        Ok(resealed)
    }
}

async fn put_check(connection: &mut SqliteConnection, check: &str) -> Result<(), DbError> {
    sqlx::query("UPDATE host SET key_check = $1")
        .bind(check)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<(TenantId, String, Sealed), DbError> {
    Ok((
        row::parsed(row, "tenant")?,
        row::text(row, "name")?,
        Sealed::from_bytes(row::bytes(row, "sealed")?),
    ))
}
