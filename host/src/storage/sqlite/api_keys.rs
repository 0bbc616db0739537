//! API keys in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, or_missing, row, unavailable};
use crate::domain::api_key::ApiKey;
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::generation::Generation;
use crate::domain::id::{ApiKeyId, TenantId};
use crate::domain::resource::Resource;
use crate::storage::{ApiKeys, DbError, Page};

#[async_trait]
impl ApiKeys for SqliteRepository {
    async fn insert_api_key(
        &self,
        tenant: TenantId,
        key: &ApiKey,
        change: &Change,
    ) -> Result<Generation, DbError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO api_keys (id, tenant, name, scopes, hash, created_at, expires_at, revoked_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(key.id.to_string())
        .bind(tenant.to_string())
        .bind(key.name.as_str())
        .bind(row::to_json(&key.scopes, "api_keys.scopes")?)
        .bind(key.hash.as_bytes().as_slice())
        .bind(key.created_at.0)
        .bind(key.expires_at.map(|at| at.0))
        .bind(key.revoked_at.map(|at| at.0))
        .execute(&mut *transaction)
        .await
        .map_err(or_missing(Resource::Tenant))?;
        self.commit_key_change(transaction, tenant, change).await
    }

    async fn api_keys(&self, tenant: TenantId, page: Page<ApiKeyId>) -> Result<Vec<ApiKey>, DbError> {
        let after = page.after.map_or(String::new(), |id| id.to_string());
        let rows = sqlx::query("SELECT * FROM api_keys WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind(tenant.to_string())
            .bind(after)
            .bind(i64::from(page.limit))
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn api_key(&self, tenant: TenantId, id: ApiKeyId) -> Result<Option<ApiKey>, DbError> {
        let row = sqlx::query("SELECT * FROM api_keys WHERE tenant = $1 AND id = $2")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn valid_api_keys(&self, tenant: TenantId, now: Timestamp) -> Result<Vec<ApiKey>, DbError> {
        let rows = sqlx::query(VALID)
            .bind(tenant.to_string())
            .bind(now.0)
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn revoke_api_key(
        &self,
        tenant: TenantId,
        id: ApiKeyId,
        change: &Change,
    ) -> Result<Option<Generation>, DbError> {
        let mut transaction = self.begin().await?;
        let revoked = sqlx::query(
            "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $3) WHERE tenant = $1 AND id = $2",
        )
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(change.at.0)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        if revoked.rows_affected() == 0 {
            return Ok(None);
        }
        let generation = self.commit_key_change(transaction, tenant, change).await?;
        Ok(Some(generation))
    }
}

/// The keys of a tenant that are neither revoked nor expired.
const VALID: &str = "SELECT * FROM api_keys WHERE tenant = $1 AND revoked_at IS NULL \
     AND (expires_at IS NULL OR expires_at > $2) ORDER BY id";

fn read(row: &SqliteRow) -> Result<ApiKey, DbError> {
    Ok(ApiKey {
        id: row::parsed(row, "id")?,
        name: row::text(row, "name")?,
        scopes: row::json(row, "scopes")?,
        hash: row::hash(row, "hash")?,
        created_at: row::timestamp(row, "created_at")?,
        expires_at: row::optional_timestamp(row, "expires_at")?,
        revoked_at: row::optional_timestamp(row, "revoked_at")?,
    })
}
