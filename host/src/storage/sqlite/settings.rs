//! Grants and settings in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{SqliteRepository, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::resource::Resource;
use crate::storage::{DbError, Settings};

const GRANTS: &str = "SELECT grants FROM grants g JOIN plugins p ON p.tenant = g.tenant AND p.name = g.plugin \
    WHERE g.tenant = $1 AND g.plugin = $2 AND p.deleted_at IS NULL";

const CONFIG: &str = "SELECT c.name, c.value FROM config c JOIN plugins p ON p.tenant = c.tenant AND p.name = c.plugin \
    WHERE c.tenant = $1 AND c.plugin = $2 AND p.deleted_at IS NULL";

#[async_trait]
impl Settings for SqliteRepository {
    async fn grants(&self, tenant: TenantId, plugin: &PluginName) -> Result<Grants, DbError> {
        let row = sqlx::query(GRANTS)
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.map_or_else(|| Ok(Grants::default()), |row| row::lenient(&row, "grants"))
    }

    async fn put_grants(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        grants: &Grants,
        change: &Change,
    ) -> Result<(), DbError> {
        let put = sqlx::query(
            "INSERT INTO grants (tenant, plugin, grants) SELECT tenant, name, $3 FROM plugins \
             WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL \
             ON CONFLICT (tenant, plugin) DO UPDATE SET grants = excluded.grants",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(row::to_json(grants, "grants.grants")?);
        match self.change_rows(tenant, change, put, unavailable).await? {
            false => Err(DbError::Missing(Resource::Plugin)),
            true => Ok(()),
        }
    }

    async fn config(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<BTreeMap<String, String>, DbError> {
        let rows = sqlx::query(CONFIG)
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter()
            .map(|row| Ok((row::text(row, "name")?, row::text(row, "value")?)))
            .collect()
    }

    async fn put_config(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        config: &BTreeMap<String, String>,
        change: &Change,
    ) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        let found =
            sqlx::query("SELECT 1 FROM plugins WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL")
                .bind(tenant.to_string())
                .bind(plugin.as_str())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(unavailable)?;
        // An empty configuration adds no row whose foreign key could fail.
        found.ok_or(DbError::Missing(Resource::Plugin))?;
        sqlx::query("DELETE FROM config WHERE tenant = $1 AND plugin = $2")
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        for (name, value) in config {
            sqlx::query("INSERT INTO config (tenant, plugin, name, value) VALUES ($1, $2, $3, $4)")
                .bind(tenant.to_string())
                .bind(plugin.as_str())
                .bind(name.as_str())
                .bind(value.as_str())
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
        }
        self.commit_change(transaction, tenant, change).await
    }

    async fn put_config_value(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        name: &str,
        value: Option<&str>,
        change: &Change,
    ) -> Result<(), DbError> {
        let Some(value) = value else {
            let remove = sqlx::query("DELETE FROM config WHERE tenant = $1 AND plugin = $2 AND name = $3")
                .bind(tenant.to_string())
                .bind(plugin.as_str())
                .bind(name);
            let removed = self.change_rows(tenant, change, remove, unavailable).await;
            return removed.map(drop);
        };
        let put = sqlx::query(
            "INSERT INTO config (tenant, plugin, name, value) SELECT tenant, name, $3, $4 FROM plugins \
             WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL \
             ON CONFLICT (tenant, plugin, name) DO UPDATE SET value = excluded.value",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(name)
        .bind(value);
        match self.change_rows(tenant, change, put, unavailable).await? {
            false => Err(DbError::Missing(Resource::Plugin)),
            true => Ok(()),
        }
    }
}
