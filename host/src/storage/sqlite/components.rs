//! Queries about the versions of all tenants in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;
use crate::storage::{ComponentPosition, Components, DbError, Page, StoredComponent};

#[async_trait]
impl Components for SqliteRepository {
    async fn components(&self, page: Page<ComponentPosition>) -> Result<Vec<StoredComponent>, DbError> {
        let (tenant, plugin, digest) = page.after.map_or_else(Default::default, |after| {
            let plugin = after.plugin.as_str().to_owned();
            (after.tenant.to_string(), plugin, after.digest.to_string())
        });
        let rows = sqlx::query(
            "SELECT v.tenant, t.name, v.plugin, v.digest, COALESCE(p.active = v.digest, 0) AS active FROM versions v \
             JOIN tenants t ON t.id = v.tenant JOIN plugins p ON p.tenant = v.tenant AND p.name = v.plugin \
             WHERE (v.tenant, v.plugin, v.digest) > ($1, $2, $3) ORDER BY v.tenant, v.plugin, v.digest LIMIT $4",
        )
        .bind(tenant)
        .bind(plugin)
        .bind(digest)
        .bind(i64::from(page.limit))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        let read = |row: &SqliteRow| -> Result<StoredComponent, DbError> {
            Ok(StoredComponent {
                position: ComponentPosition {
                    tenant: row::parsed(row, "tenant")?,
                    plugin: row::parsed(row, "plugin")?,
                    digest: row::parsed(row, "digest")?,
                },
                tenant_name: row::parsed(row, "name")?,
                is_active: row::flag(row, "active")?,
            })
        };
        rows.iter().map(read).collect()
    }
    async fn active_components(&self, since: Timestamp) -> Result<Vec<VersionDigest>, DbError> {
        let rows = sqlx::query(
            "SELECT p.active AS digest FROM plugins p \
             JOIN tenants t ON t.id = p.tenant \
             LEFT JOIN usage_hours u ON u.tenant = p.tenant AND u.plugin = p.name AND u.hour >= $1 \
             WHERE p.active IS NOT NULL AND p.deleted_at IS NULL AND t.deleted_at IS NULL \
             GROUP BY p.active ORDER BY COALESCE(SUM(u.invocations), 0) DESC, p.active",
        )
        .bind(since.0)
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        // A digest that cannot be read only stops its own plugin, which the routing reports.
        let digests = rows.iter().map(|row| row::parsed(row, "digest"));
        Ok(digests.filter_map(Result::ok).collect())
    }
}
