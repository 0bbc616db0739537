//! Everything of one tenant, from SQLite.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, plans, plugins, row, tenants, unavailable};
use crate::domain::grant::Grants;
use crate::domain::id::{TenantId, TenantName};
use crate::storage::vault::Sealed;
use crate::storage::{DbError, RoutedPlugin, RoutedTenant, Routing};

/// The tables that serving a tenant's requests reads.
const CONFIGURATION: [&str; 7] = [
    "plugins",
    "versions",
    "activations",
    "grants",
    "config",
    "secrets",
    "api_keys",
];

#[async_trait]
impl Routing for SqliteRepository {
    async fn tenant_names(&self) -> Result<Vec<Result<(TenantId, TenantName), DbError>>, DbError> {
        let rows = sqlx::query(
            "SELECT id, name FROM tenants WHERE deleted_at IS NULL OR deleted_at < 0 ORDER BY id",
        )
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        let read = |row: &SqliteRow| Ok((row::parsed(row, "id")?, row::parsed(row, "name")?));
        Ok(rows.iter().map(read).collect())
    }

    async fn orphans(&self) -> Result<Vec<String>, DbError> {
        let mut orphans = Vec::new();
        for table in CONFIGURATION {
            let rows = sqlx::query(
                "SELECT parent, count(*) AS rows FROM pragma_foreign_key_check($1) GROUP BY parent ORDER BY parent",
            )
            .bind(table)
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
            for row in rows {
                let (parent, count) = (row::text(&row, "parent")?, row::integer(&row, "rows")?);
                orphans.push(format!("table {table}: {count} rows refer to no row of {parent}"));
            }
        }
        Ok(orphans)
    }

    async fn routed_tenant(&self, id: TenantId) -> Result<Option<RoutedTenant>, DbError> {
        // In one transaction, so that no change falls between two of the queries.
        let mut reading = self.readers.begin().await.map_err(unavailable)?;
        let id = id.to_string();
        let Some(tenant) =
            sqlx::query("SELECT * FROM tenants WHERE id = $1 AND (deleted_at IS NULL OR deleted_at < 0)")
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
             WHERE p.tenant = $1 AND p.deleted_at IS NULL",
        )
        .bind(&id)
        .fetch_all(&mut *reading)
        .await
        .map_err(unavailable)?;
        let mut active = by_plugin(&active, plugins::read_version);

        let grants = sqlx::query("SELECT plugin, grants FROM grants WHERE tenant = $1")
            .bind(&id)
            .fetch_all(&mut *reading)
            .await
            .map_err(unavailable)?;
        let mut grants = by_plugin(&grants, |row| row::lenient::<Grants>(row, "grants"));

        let settings = sqlx::query("SELECT plugin, name, value FROM config WHERE tenant = $1")
            .bind(&id)
            .fetch_all(&mut *reading)
            .await
            .map_err(unavailable)?;
        let mut config: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        for row in &settings {
            let settings = config.entry(row::text(row, "plugin")?).or_default();
            settings.insert(row::text(row, "name")?, row::text(row, "value")?);
        }

        let rows = sqlx::query(plugins::ALL)
            .bind(&id)
            .fetch_all(&mut *reading)
            .await
            .map_err(unavailable)?;
        let (mut routed, mut problems) = (Vec::with_capacity(rows.len()), Vec::new());
        for row in &rows {
            let plugin = match plugins::read_plugin(row) {
                Ok(plugin) => plugin,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let name = plugin.name.as_str();
            let active = active.remove(name).transpose();
            let (active, grants) = match (active, grants.remove(name).transpose()) {
                (Ok(active), Ok(grants)) => (Ok(active), grants.unwrap_or_default()),
                (Err(error), _) | (_, Err(error)) => (Err(error.to_string()), Grants::default()),
            };
            routed.push(RoutedPlugin {
                active,
                grants,
                config: config.remove(name).unwrap_or_default(),
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
            problems,
            tenant,
        }))
    }
}

/// What was read of each row, by the name of the row's plugin.
fn by_plugin<T>(
    rows: &[SqliteRow],
    read: impl Fn(&SqliteRow) -> Result<T, DbError>,
) -> HashMap<String, Result<T, DbError>> {
    // Without a name it is no plugin's: the names of plugins are text and refer to a row.
    let named = rows
        .iter()
        .filter_map(|row| Some((row::text(row, "plugin").ok()?, read(row))));
    named.collect()
}
