//! Plugins, versions and activations in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, jobs, leases, or_in_use, or_missing, removals, row, unavailable};
use crate::domain::audit::{Change, Difference};
use crate::domain::id::{PluginName, TenantId, VersionDigest};
use crate::domain::manifest::Manifest;
use crate::domain::plugin::{Activation, Plugin, RollbackSearch, RollbackTarget, Version};
use crate::domain::resource::Resource;
use crate::storage::{DbError, JobFilter, Page, Plugins, Removal, VersionPosition};

#[async_trait]
impl Plugins for SqliteRepository {
    async fn plugin(&self, tenant: TenantId, name: &PluginName) -> Result<Option<Plugin>, DbError> {
        let row = sqlx::query(PLUGIN)
            .bind(tenant.to_string())
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read_plugin).transpose()
    }

    async fn plugins(&self, tenant: TenantId, page: Page<PluginName>) -> Result<Vec<Plugin>, DbError> {
        let after = page.after.as_ref().map_or("", PluginName::as_str);
        let rows = sqlx::query(PLUGINS)
            .bind(tenant.to_string())
            .bind(after)
            .bind(i64::from(page.limit))
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read_plugin).collect()
    }

    async fn deleted_plugins(
        &self,
        tenant: TenantId,
        page: Page<PluginName>,
    ) -> Result<Vec<Plugin>, DbError> {
        let after = page.after.as_ref().map_or("", PluginName::as_str);
        let rows = sqlx::query(DELETED_PLUGINS)
            .bind(tenant.to_string())
            .bind(after)
            .bind(i64::from(page.limit))
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read_plugin).collect()
    }

    async fn set_plugin_disabled(
        &self,
        tenant: TenantId,
        name: &PluginName,
        disabled: bool,
        change: &Change,
    ) -> Result<bool, DbError> {
        let update = sqlx::query(
            "UPDATE plugins SET disabled = $3 WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL",
        )
        .bind(tenant.to_string())
        .bind(name.as_str())
        .bind(i64::from(disabled));
        self.change_rows(tenant, change, update, unavailable).await
    }

    async fn delete_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError> {
        let delete = sqlx::query(
            "UPDATE plugins SET deleted_at = $3 WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL",
        )
        .bind(tenant.to_string())
        .bind(name.as_str())
        .bind(change.at.0);
        self.change_rows(tenant, change, delete, unavailable).await
    }

    async fn deleted_active_version(
        &self,
        tenant: TenantId,
        name: &PluginName,
    ) -> Result<Option<Version>, DbError> {
        let row = sqlx::query(DELETED_ACTIVE_VERSION)
            .bind(tenant.to_string())
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read_version).transpose()
    }

    async fn restore_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError> {
        let restore = sqlx::query(
            "UPDATE plugins SET deleted_at = NULL WHERE tenant = $1 AND name = $2 AND deleted_at IS NOT NULL",
        )
        .bind(tenant.to_string())
        .bind(name.as_str());
        self.change_rows(tenant, change, restore, unavailable).await
    }

    async fn purge_plugin(
        &self,
        tenant: TenantId,
        name: &PluginName,
        change: &Change,
    ) -> Result<bool, DbError> {
        let of_plugin = JobFilter {
            plugin: Some(name.clone()),
            ..JobFilter::default()
        };
        self.clear_jobs(tenant, &of_plugin).await?;
        self.clear_webhooks(tenant, Some(name)).await?;
        let mut transaction = self.begin().await?;
        jobs::delete_rest(&mut transaction, tenant, &of_plugin).await?;
        removals::of_versions(&mut transaction, tenant, Some(name)).await?;
        let purged = sqlx::query("DELETE FROM plugins WHERE tenant = $1 AND name = $2")
            .bind(tenant.to_string())
            .bind(name.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        if purged.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit_change(transaction, tenant, change).await?;
        Ok(true)
    }

    async fn add_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        version: &Version,
        change: &Change,
    ) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "INSERT INTO plugins (tenant, name, active, disabled, created_at) VALUES ($1, $2, NULL, 0, $3) \
             ON CONFLICT (tenant, name) DO NOTHING",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(version.created_at.0)
        .execute(&mut *transaction)
        .await
        .map_err(or_missing(Resource::Tenant))?;
        let owner = sqlx::query(
            "SELECT t.deleted_at AS of_tenant, p.deleted_at AS of_plugin FROM plugins p \
             JOIN tenants t ON t.id = p.tenant WHERE p.tenant = $1 AND p.name = $2",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .fetch_one(&mut *transaction)
        .await
        .map_err(unavailable)?;
        if row::optional_timestamp(&owner, "of_tenant")?.is_some() {
            return Err(DbError::Missing(Resource::Tenant));
        }
        if row::optional_timestamp(&owner, "of_plugin")?.is_some() {
            return Err(DbError::Reserved(Resource::Plugin));
        }
        leases::refuse_if_being_removed(&mut transaction, version.digest).await?;
        let inserted = sqlx::query(
            "INSERT INTO versions (tenant, plugin, digest, manifest, size, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, plugin, digest) DO NOTHING",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(version.digest.to_string())
        .bind(version.manifest_text.as_str())
        .bind(row::to_integer(version.size))
        .bind(version.created_at.0)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        if inserted.rows_affected() == 0 {
            return Ok(false);
        }
        // No version serves before it is activated.
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(true)
    }

    async fn version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
    ) -> Result<Option<Version>, DbError> {
        let row = sqlx::query(VERSION)
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .bind(digest.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read_version).transpose()
    }

    async fn versions(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        page: Page<VersionPosition>,
    ) -> Result<Vec<Version>, DbError> {
        let (before, digest) = page.after.map_or((i64::MAX, String::new()), |position| {
            (position.created_at.0, position.digest.to_string())
        });
        let rows = sqlx::query(
            "SELECT * FROM versions WHERE tenant = $1 AND plugin = $2 AND (created_at, digest) < ($3, $4) \
             AND EXISTS (SELECT 1 FROM plugins p WHERE p.tenant = $1 AND p.name = $2 AND p.deleted_at IS NULL) \
             ORDER BY created_at DESC, digest DESC LIMIT $5",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(before)
        .bind(digest)
        .bind(i64::from(page.limit))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        rows.iter().map(read_version).collect()
    }

    async fn delete_version(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
        change: &Change,
    ) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        let deleted = sqlx::query("DELETE FROM versions WHERE tenant = $1 AND plugin = $2 AND digest = $3")
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .bind(digest.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(or_in_use(Resource::Version))?;
        if deleted.rows_affected() == 0 {
            return Ok(false);
        }
        removals::add(&mut transaction, Removal::Component(digest)).await?;
        // The active version is never deleted.
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(true)
    }

    async fn versions_beyond(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        keep: u32,
    ) -> Result<Vec<VersionDigest>, DbError> {
        // The active version counts among the kept ones, whatever its age.
        let rows = sqlx::query(
            "SELECT v.digest FROM versions v \
             LEFT JOIN plugins p ON p.tenant = v.tenant AND p.name = v.plugin AND p.active = v.digest \
             WHERE v.tenant = $1 AND v.plugin = $2 AND p.name IS NULL \
             ORDER BY v.created_at, v.digest \
             LIMIT (SELECT CASE WHEN COUNT(*) > $3 THEN COUNT(*) - $3 ELSE 0 END \
                    FROM versions WHERE tenant = $1 AND plugin = $2)",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(i64::from(keep))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        rows.iter().map(|row| row::parsed(row, "digest")).collect()
    }

    async fn is_digest_used(&self, digest: VersionDigest) -> Result<bool, DbError> {
        let mut reader = self.readers.acquire().await.map_err(unavailable)?;
        is_digest_used(&mut reader, digest).await
    }

    async fn activate(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        digest: VersionDigest,
        rolled_back_to: Option<i64>,
        change: &Change,
    ) -> Result<Activation, DbError> {
        let mut transaction = self.begin().await?;
        let row = sqlx::query(
            "SELECT active, (SELECT COALESCE(MAX(sequence), 0) + 1 FROM activations \
             WHERE tenant = $1 AND plugin = $2) AS sequence FROM plugins \
             WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?
        .ok_or(DbError::Missing(Resource::Plugin))?;
        let activation = Activation {
            sequence: row::integer(&row, "sequence")?,
            digest,
            previous: row::optional_parsed(&row, "active")?,
            rolled_back_to,
            actor: change.actor.clone(),
            at: change.at,
        };
        sqlx::query("UPDATE plugins SET active = $3 WHERE tenant = $1 AND name = $2")
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .bind(digest.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(or_missing(Resource::Version))?;
        sqlx::query(
            "INSERT INTO activations (tenant, plugin, sequence, digest, previous, actor, at, rolled_back_to) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(activation.sequence)
        .bind(digest.to_string())
        .bind(activation.previous.map(|previous| previous.to_string()))
        .bind(change.actor.as_str())
        .bind(change.at.0)
        .bind(rolled_back_to)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        let active = |version: Option<VersionDigest>| serde_json::json!({ "active": version });
        let difference = Difference::between(&active(activation.previous), &active(Some(digest)));
        let change = change.clone().with(difference);
        self.commit_change(transaction, tenant, &change).await?;
        Ok(activation)
    }

    async fn activations(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        page: Page<i64>,
    ) -> Result<Vec<Activation>, DbError> {
        let rows = sqlx::query(
            "SELECT * FROM activations WHERE tenant = $1 AND plugin = $2 AND sequence < $3 \
             AND EXISTS (SELECT 1 FROM plugins p WHERE p.tenant = $1 AND p.name = $2 AND p.deleted_at IS NULL) \
             ORDER BY sequence DESC LIMIT $4",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .bind(page.after.unwrap_or(i64::MAX))
        .bind(i64::from(page.limit))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        rows.iter().map(read_activation).collect()
    }

    async fn rollback_target(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
    ) -> Result<Option<RollbackTarget>, DbError> {
        let active = sqlx::query(
            "SELECT active FROM plugins WHERE tenant = $1 AND name = $2 AND active IS NOT NULL AND deleted_at IS NULL",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(unavailable)?;
        let Some(active) = active else {
            return Ok(None);
        };
        let mut search = RollbackSearch::new(row::parsed(&active, "active")?);
        let mut activations = sqlx::query(
            "SELECT a.*, v.digest IS NOT NULL AS is_stored FROM activations a \
             LEFT JOIN versions v ON v.tenant = a.tenant AND v.plugin = a.plugin AND v.digest = a.digest \
             WHERE a.tenant = $1 AND a.plugin = $2 ORDER BY a.sequence DESC",
        )
        .bind(tenant.to_string())
        .bind(plugin.as_str())
        .fetch(&self.readers);
        while let Some(row) = activations.try_next().await.map_err(unavailable)? {
            let target = search.look(&read_activation(&row)?, row::flag(&row, "is_stored")?);
            if target.is_some() {
                return Ok(target);
            }
        }
        Ok(None)
    }
}

/// A plugin, with the number of its versions.
const PLUGIN: &str = "SELECT plugins.*, (SELECT COUNT(*) FROM versions WHERE versions.tenant = plugins.tenant \
    AND versions.plugin = plugins.name) AS versions FROM plugins WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL";

/// A page of plugins.
const PLUGINS: &str = "SELECT plugins.*, (SELECT COUNT(*) FROM versions WHERE versions.tenant = plugins.tenant \
    AND versions.plugin = plugins.name) AS versions FROM plugins \
    WHERE tenant = $1 AND name > $2 AND deleted_at IS NULL ORDER BY name LIMIT $3";

/// A page of deleted plugins.
const DELETED_PLUGINS: &str = "SELECT plugins.*, (SELECT COUNT(*) FROM versions WHERE versions.tenant = plugins.tenant \
    AND versions.plugin = plugins.name) AS versions FROM plugins \
    WHERE tenant = $1 AND name > $2 AND deleted_at IS NOT NULL ORDER BY name LIMIT $3";

/// A version of a plugin that is not deleted.
const VERSION: &str = "SELECT * FROM versions WHERE tenant = $1 AND plugin = $2 AND digest = $3 \
    AND EXISTS (SELECT 1 FROM plugins p WHERE p.tenant = $1 AND p.name = $2 AND p.deleted_at IS NULL)";

/// The active version of a deleted plugin.
const DELETED_ACTIVE_VERSION: &str = "SELECT versions.* FROM plugins JOIN versions \
    ON versions.tenant = plugins.tenant AND versions.plugin = plugins.name AND versions.digest = plugins.active \
    WHERE plugins.tenant = $1 AND plugins.name = $2 AND plugins.deleted_at IS NOT NULL";

/// All plugins of some tenants, whose ids are a JSON array.
pub(super) const OF_TENANTS: &str = "SELECT plugins.*, (SELECT COUNT(*) FROM versions WHERE versions.tenant = plugins.tenant \
    AND versions.plugin = plugins.name) AS versions FROM plugins \
    WHERE tenant IN (SELECT value FROM json_each($1)) AND (deleted_at IS NULL OR deleted_at < 0) ORDER BY tenant, name";

pub(super) fn read_plugin(row: &SqliteRow) -> Result<Plugin, DbError> {
    Ok(Plugin {
        name: row::parsed(row, "name")?,
        active: row::optional_parsed(row, "active")?,
        disabled: row::flag(row, "disabled")?,
        versions: row::number(row, "versions")?,
        created_at: row::timestamp(row, "created_at")?,
        deleted_at: row::deleted_at(row)?,
    })
}

/// Whether any tenant has a version of this digest.
pub(super) async fn is_digest_used(
    connection: &mut SqliteConnection,
    digest: VersionDigest,
) -> Result<bool, DbError> {
    let row = sqlx::query("SELECT 1 FROM versions WHERE digest = $1 LIMIT 1")
        .bind(digest.to_string())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    Ok(row.is_some())
}

pub(super) fn read_version(row: &SqliteRow) -> Result<Version, DbError> {
    let manifest_text = row::text(row, "manifest")?;
    let manifest =
        Manifest::stored(&manifest_text).map_err(|error| DbError::corrupt("versions.manifest", error))?;
    Ok(Version {
        digest: row::parsed(row, "digest")?,
        manifest: Arc::new(manifest),
        manifest_text,
        size: row::number(row, "size")?,
        created_at: row::timestamp(row, "created_at")?,
    })
}

fn read_activation(row: &SqliteRow) -> Result<Activation, DbError> {
    Ok(Activation {
        sequence: row::integer(row, "sequence")?,
        digest: row::parsed(row, "digest")?,
        previous: row::optional_parsed(row, "previous")?,
        rolled_back_to: row::optional_integer(row, "rolled_back_to")?,
        actor: row::text(row, "actor")?,
        at: row::timestamp(row, "at")?,
    })
}
