//! Pending deletions in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, row, tenants, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantId, VersionDigest};
use crate::storage::{DbError, Removal, Removals};

const DATABASE: &str = "database";
const COMPONENT: &str = "component";

#[async_trait]
impl Removals for SqliteRepository {
    async fn tenants_deleted_before(&self, before: Timestamp) -> Result<Vec<TenantId>, DbError> {
        let rows = sqlx::query(
            "SELECT id FROM tenants WHERE deleted_at < $1 AND deleted_at >= created_at ORDER BY id",
        )
        .bind(before.0)
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        Ok(readable(&rows, |row| row::parsed(row, "id")))
    }

    async fn plugins_deleted_before(
        &self,
        before: Timestamp,
    ) -> Result<Vec<(TenantId, PluginName)>, DbError> {
        let rows =
            sqlx::query("SELECT tenant, name FROM plugins WHERE deleted_at < $1 AND deleted_at >= created_at ORDER BY tenant, name")
                .bind(before.0)
                .fetch_all(&self.readers)
                .await
                .map_err(unavailable)?;
        let read = |row: &SqliteRow| Ok((row::parsed(row, "tenant")?, row::parsed(row, "name")?));
        Ok(readable(&rows, read))
    }

    async fn removals(&self) -> Result<Vec<Removal>, DbError> {
        let rows = sqlx::query("SELECT kind, name FROM removals ORDER BY kind, name")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        Ok(readable(&rows, read))
    }

    async fn removal_done(&self, removal: Removal) -> Result<(), DbError> {
        let mut writer = self.writer.acquire().await.map_err(unavailable)?;
        delete(&mut writer, removal).await
    }

    async fn has_tenant(&self, tenant: TenantId) -> Result<bool, DbError> {
        let mut reader = self.readers.acquire().await.map_err(unavailable)?;
        let there = tenants::existing(&mut reader, [tenant].into()).await?;
        Ok(there.contains(&tenant))
    }

    async fn all_tenant_ids(&self) -> Result<Vec<TenantId>, DbError> {
        let rows = sqlx::query("SELECT id FROM tenants")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(|row| row::parsed(row, "id")).collect()
    }

    async fn all_digests(&self) -> Result<Vec<VersionDigest>, DbError> {
        let rows = sqlx::query("SELECT DISTINCT digest FROM versions")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(|row| row::parsed(row, "digest")).collect()
    }
}

/// The readable rows. An unreadable one is logged and skipped, so that it does not block the
/// others.
fn readable<T>(rows: &[SqliteRow], read: impl Fn(&SqliteRow) -> Result<T, DbError>) -> Vec<T> {
    let logged = |error: &DbError| tracing::error!(%error, "a row about a deletion cannot be read");
    let readable = rows.iter().map(read);
    readable.filter_map(|row| row.inspect_err(logged).ok()).collect()
}

/// Marks a file for removal, in the transaction that deletes its rows.
pub(super) async fn add(connection: &mut SqliteConnection, removal: Removal) -> Result<(), DbError> {
    let (kind, name) = parts(removal);
    sqlx::query("INSERT INTO removals (kind, name) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(kind)
        .bind(name)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// Whether a file is marked for removal.
pub(super) async fn is_named(connection: &mut SqliteConnection, removal: Removal) -> Result<bool, DbError> {
    let (kind, name) = parts(removal);
    let row = sqlx::query("SELECT 1 FROM removals WHERE kind = $1 AND name = $2")
        .bind(kind)
        .bind(name)
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    Ok(row.is_some())
}

/// Unmarks a file that was removed or is used again.
pub(super) async fn delete(connection: &mut SqliteConnection, removal: Removal) -> Result<(), DbError> {
    let (kind, name) = parts(removal);
    sqlx::query("DELETE FROM removals WHERE kind = $1 AND name = $2")
        .bind(kind)
        .bind(name)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// Marks the components of all versions of a tenant, or of one plugin, for removal. The removal
/// itself checks whether another tenant has the same digest.
pub(super) async fn of_versions(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    plugin: Option<&PluginName>,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO removals (kind, name) \
         SELECT DISTINCT $1, digest FROM versions WHERE tenant = $2 AND plugin = COALESCE($3, plugin) \
         ON CONFLICT DO NOTHING",
    )
    .bind(COMPONENT)
    .bind(tenant.to_string())
    .bind(plugin.map(PluginName::as_str))
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(())
}

fn parts(removal: Removal) -> (&'static str, String) {
    match removal {
        Removal::Database(tenant) => (DATABASE, tenant.to_string()),
        Removal::Component(digest) => (COMPONENT, digest.to_string()),
    }
}

fn read(row: &SqliteRow) -> Result<Removal, DbError> {
    match row::text(row, "kind")?.as_str() {
        DATABASE => Ok(Removal::Database(row::parsed(row, "name")?)),
        COMPONENT => Ok(Removal::Component(row::parsed(row, "name")?)),
        other => Err(DbError::corrupt("removals.kind", other)),
    }
}
