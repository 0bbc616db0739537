//! Encrypted secrets in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{SqliteRepository, or_missing, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::domain::resource::Resource;
use crate::storage::vault::Sealed;
use crate::storage::{DbError, Secrets};

#[async_trait]
impl Secrets for SqliteRepository {
    async fn put_secret(
        &self,
        tenant: TenantId,
        name: &str,
        sealed: &Sealed,
        change: &Change,
    ) -> Result<(), DbError> {
        let put = sqlx::query(
            "INSERT INTO secrets (tenant, name, sealed, updated_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (tenant, name) DO UPDATE SET sealed = excluded.sealed, updated_at = excluded.updated_at",
        )
        .bind(tenant.to_string())
        .bind(name)
        .bind(sealed.as_bytes())
        .bind(change.at.0);
        let put = self
            .change_rows(tenant, change, put, or_missing(Resource::Tenant))
            .await;
        put.map(drop)
    }

    async fn secret_names(&self, tenant: TenantId) -> Result<Vec<(String, Timestamp)>, DbError> {
        let rows = sqlx::query("SELECT name, updated_at FROM secrets WHERE tenant = $1 ORDER BY name")
            .bind(tenant.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter()
            .map(|row| Ok((row::text(row, "name")?, row::timestamp(row, "updated_at")?)))
            .collect()
    }

    async fn sealed_secrets(&self, tenant: TenantId) -> Result<BTreeMap<String, Sealed>, DbError> {
        let rows = sqlx::query("SELECT name, sealed FROM secrets WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter()
            .map(|row| {
                Ok((
                    row::text(row, "name")?,
                    Sealed::from_bytes(row::bytes(row, "sealed")?),
                ))
            })
            .collect()
    }

    async fn delete_secret(&self, tenant: TenantId, name: &str, change: &Change) -> Result<bool, DbError> {
        let delete = sqlx::query("DELETE FROM secrets WHERE tenant = $1 AND name = $2")
            .bind(tenant.to_string())
            .bind(name);
        self.change_rows(tenant, change, delete, unavailable).await
    }
}
