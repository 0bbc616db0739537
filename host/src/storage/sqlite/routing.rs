//! Everything of one tenant, from SQLite.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::{SqliteRepository, plans, plugins, row, tenants, unavailable};
use crate::domain::grant::Grants;
use crate::domain::id::{PluginName, TenantId};
use crate::domain::plugin::Version;
use crate::storage::vault::Sealed;
use crate::storage::{DbError, RoutedPlugin, RoutedTenant, Routing};

#[async_trait]
impl Routing for SqliteRepository {
    async fn tenant_ids(&self) -> Result<Vec<TenantId>, DbError> {
        let rows = sqlx::query("SELECT id FROM tenants ORDER BY id")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(|row| row::parsed(row, "id")).collect()
    }

    async fn routed_tenant(&self, id: TenantId) -> Result<Option<RoutedTenant>, DbError> {
        // In one transaction, so that no change falls between two of the queries.
        let mut reading = self.readers.begin().await.map_err(unavailable)?;
        let id = id.to_string();
        let Some(tenant) = sqlx::query("SELECT * FROM tenants WHERE id = $1")
            .bind(&id)
            .fetch_optional(&mut *reading)
            .await
            .map_err(unavailable)?
        else {
            return Ok(None);
        };
        let tenant = tenants::read(&tenant)?;
        let plan = sqlx::query("SELECT * FROM plans WHERE name = $1")
            .bind(tenant.plan.as_str())
            .fetch_one(&mut *reading)
            .await
            .map_err(unavailable)?;

        let active = sqlx::query(
            "SELECT v.* FROM versions v \
             JOIN plugins p ON p.tenant = v.tenant AND p.name = v.plugin AND p.active = v.digest \
             WHERE p.tenant = $1",
        )
        .bind(&id)
        .fetch_all(&mut *reading)
        .await
        .map_err(unavailable)?;
        let mut active = by_plugin(active.iter().map(|row| Ok((row::parsed(row, "plugin")?, row))))?
            .into_iter()
            .map(|(plugin, row)| Ok((plugin, plugins::read_version(row)?)))
            .collect::<Result<HashMap<PluginName, Version>, DbError>>()?;

        let grants = sqlx::query("SELECT plugin, grants FROM grants WHERE tenant = $1")
            .bind(&id)
            .fetch_all(&mut *reading)
            .await
            .map_err(unavailable)?;
        let mut grants: HashMap<PluginName, Grants> = by_plugin(
            grants
                .iter()
                .map(|row| Ok((row::parsed(row, "plugin")?, row::json(row, "grants")?))),
        )?;

        let mut config: HashMap<PluginName, BTreeMap<String, String>> = HashMap::new();
        for row in sqlx::query("SELECT plugin, name, value FROM config WHERE tenant = $1")
            .bind(&id)
            .fetch_all(&mut *reading)
            .await
            .map_err(unavailable)?
        {
            let settings = config.entry(row::parsed(&row, "plugin")?).or_default();
            settings.insert(row::text(&row, "name")?, row::text(&row, "value")?);
        }

        let rows = sqlx::query(plugins::ALL)
            .bind(&id)
            .fetch_all(&mut *reading)
            .await
            .map_err(unavailable)?;
        let mut routed = Vec::with_capacity(rows.len());
        for row in &rows {
            let plugin = plugins::read_plugin(row)?;
            routed.push(RoutedPlugin {
                active: active.remove(&plugin.name),
                grants: grants.remove(&plugin.name).unwrap_or_default(),
                config: config.remove(&plugin.name).unwrap_or_default(),
                plugin,
            });
        }

        let secrets = sqlx::query("SELECT name, sealed FROM secrets WHERE tenant = $1")
            .bind(&id)
            .fetch_all(&mut *reading)
            .await
            .map_err(unavailable)?;
        let secrets = secrets
            .iter()
            .map(|row| {
                Ok((
                    row::text(row, "name")?,
                    Sealed::from_bytes(row::bytes(row, "sealed")?),
                ))
            })
            .collect::<Result<_, DbError>>()?;
        Ok(Some(RoutedTenant {
            plan: plans::read(&plan)?,
            plugins: routed,
            secrets,
            tenant,
        }))
    }
}

fn by_plugin<T>(
    rows: impl Iterator<Item = Result<(PluginName, T), DbError>>,
) -> Result<HashMap<PluginName, T>, DbError> {
    rows.collect()
}
