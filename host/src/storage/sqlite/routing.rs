//! All data of some tenants for serving their requests, read from SQLite.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, change, jobs, plans, plugins, row, tenants, unavailable, webhooks_out};
use crate::domain::grant::Grants;
use crate::domain::id::TenantId;
use crate::storage::vault::Sealed;
use crate::storage::{Changed, DbError, ListedTenant, RoutedPlugin, RoutedTenant, RoutedTenants, Routing};

/// The tables with data for serving requests.
const CONFIGURATION: [&str; 9] = [
    "plugins",
    "versions",
    "activations",
    "grants",
    "config",
    "paused_jobs",
    "secrets",
    "api_keys",
    "webhook_endpoints",
];

#[async_trait]
impl Routing for SqliteRepository {
    async fn listed_tenants(&self) -> Result<Vec<Result<ListedTenant, DbError>>, DbError> {
        let rows = sqlx::query(LISTED)
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        let read = |row: &SqliteRow| {
            Ok(ListedTenant {
                id: row::parsed(row, "id")?,
                name: row::parsed(row, "name")?,
                generations: change::generations(row)?,
            })
        };
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

    async fn changed(&self) -> Changed {
        self.notifier.notified().await;
        self.notifier.take()
    }

    async fn routed_tenants(&self, ids: &[TenantId]) -> Result<RoutedTenants, DbError> {
        let ids: Vec<String> = ids.iter().map(TenantId::to_string).collect();
        let ids = row::to_json(&ids, "tenants.id")?;
        // One transaction, so that no change is committed between two of the queries.
        let mut reading = self.readers.begin().await.map_err(unavailable)?;
        let tenants = read(&mut reading, TENANTS, &ids).await?;
        let rows = Rows {
            plans: by(read(&mut reading, PLANS, &ids).await?, "name"),
            plugins: by(read(&mut reading, plugins::OF_TENANTS, &ids).await?, "tenant"),
            active: by(read(&mut reading, ACTIVE, &ids).await?, "tenant"),
            grants: by(read(&mut reading, GRANTS, &ids).await?, "tenant"),
            config: by(read(&mut reading, CONFIG, &ids).await?, "tenant"),
            paused: by(read(&mut reading, jobs::PAUSED, &ids).await?, "tenant"),
            secrets: by(read(&mut reading, SECRETS, &ids).await?, "tenant"),
            endpoints: by(read(&mut reading, webhooks_out::ENABLED, &ids).await?, "tenant"),
        };
        drop(reading);
        let routed = |tenant: &SqliteRow| Some((row::parsed(tenant, "id").ok()?, rows.routed(tenant)));
        Ok(tenants.iter().filter_map(routed).collect())
    }
}

const LISTED: &str = "SELECT id, name, generation, key_generation FROM tenants \
    WHERE deleted_at IS NULL OR deleted_at < 0 ORDER BY id";

// The parameter of these statements is a JSON array of ids, since a statement costs more than a
// row.

const TENANTS: &str = "SELECT * FROM tenants WHERE id IN (SELECT value FROM json_each($1)) \
    AND (deleted_at IS NULL OR deleted_at < 0)";

const PLANS: &str = "SELECT * FROM plans WHERE name IN \
    (SELECT plan FROM tenants WHERE id IN (SELECT value FROM json_each($1)))";

const ACTIVE: &str = "SELECT v.* FROM versions v \
    JOIN plugins p ON p.tenant = v.tenant AND p.name = v.plugin AND p.active = v.digest \
    WHERE p.tenant IN (SELECT value FROM json_each($1)) AND p.deleted_at IS NULL";

const GRANTS: &str =
    "SELECT tenant, plugin, grants FROM grants WHERE tenant IN (SELECT value FROM json_each($1))";

const CONFIG: &str =
    "SELECT tenant, plugin, name, value FROM config WHERE tenant IN (SELECT value FROM json_each($1))";

const SECRETS: &str =
    "SELECT tenant, name, sealed FROM secrets WHERE tenant IN (SELECT value FROM json_each($1))";

async fn read(
    reading: &mut SqliteConnection,
    statement: &'static str,
    ids: &str,
) -> Result<Vec<SqliteRow>, DbError> {
    let rows = sqlx::query(statement).bind(ids).fetch_all(reading).await;
    rows.map_err(unavailable)
}

/// The rows of some tenants: plans by name, everything else by tenant.
struct Rows {
    plans: HashMap<String, Vec<SqliteRow>>,
    plugins: HashMap<String, Vec<SqliteRow>>,
    active: HashMap<String, Vec<SqliteRow>>,
    grants: HashMap<String, Vec<SqliteRow>>,
    config: HashMap<String, Vec<SqliteRow>>,
    paused: HashMap<String, Vec<SqliteRow>>,
    secrets: HashMap<String, Vec<SqliteRow>>,
    endpoints: HashMap<String, Vec<SqliteRow>>,
}

impl Rows {
    /// All data of the tenant of this row.
    fn routed(&self, tenant: &SqliteRow) -> Result<RoutedTenant, DbError> {
        let generations = change::generations(tenant)?;
        let tenant = tenants::read(tenant)?;
        let id = tenant.id.to_string();
        let plan = of(&self.plans, tenant.plan.as_str()).first();
        let plan =
            plan.ok_or_else(|| DbError::corrupt("tenants.plan", format!("no plan `{}`", tenant.plan)))?;
        let mut active = by_plugin(of(&self.active, &id), plugins::read_version);
        let mut grants = by_plugin(of(&self.grants, &id), |row| row::lenient::<Grants>(row, "grants"));
        let mut config: HashMap<String, BTreeMap<String, String>> = HashMap::new();
        for row in of(&self.config, &id) {
            let settings = config.entry(row::text(row, "plugin")?).or_default();
            settings.insert(row::text(row, "name")?, row::text(row, "value")?);
        }
        let mut paused = jobs::paused_by_plugin(of(&self.paused, &id))?;
        let (mut routed, mut problems) = (Vec::new(), Vec::new());
        for row in of(&self.plugins, &id) {
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
                paused: paused.remove(name).unwrap_or_default(),
                plugin,
            });
        }
        let secret = |row: &SqliteRow| {
            let sealed = Sealed::from_bytes(row::bytes(row, "sealed")?);
            Ok((row::text(row, "name")?, sealed))
        };
        let secrets = of(&self.secrets, &id).iter().map(secret);
        let mut endpoints = Vec::new();
        for row in of(&self.endpoints, &id) {
            match webhooks_out::topics_of(row) {
                Ok(endpoint) => endpoints.push(endpoint),
                // The other endpoints still get events.
                Err(error) => problems.push(error.to_string()),
            }
        }
        Ok(RoutedTenant {
            generations,
            plan: plans::read(plan)?,
            plugins: routed,
            secrets: secrets.collect::<Result<_, DbError>>()?,
            endpoints,
            problems,
            tenant,
        })
    }
}

/// Groups rows by the text in a column, in their order. Rows without a readable text there are
/// skipped.
fn by(rows: Vec<SqliteRow>, column: &'static str) -> HashMap<String, Vec<SqliteRow>> {
    let mut grouped: HashMap<String, Vec<SqliteRow>> = HashMap::new();
    for row in rows {
        if let Ok(key) = row::text(&row, column) {
            grouped.entry(key).or_default().push(row);
        }
    }
    grouped
}

fn of<'a>(rows: &'a HashMap<String, Vec<SqliteRow>>, key: &str) -> &'a [SqliteRow] {
    rows.get(key).map_or(&[], Vec::as_slice)
}

/// Reads each row and groups the results by plugin.
fn by_plugin<T>(
    rows: &[SqliteRow],
    read: impl Fn(&SqliteRow) -> Result<T, DbError>,
) -> HashMap<String, Result<T, DbError>> {
    // Names of plugins are readable text, so a row without one belongs to no plugin.
    let named = rows
        .iter()
        .filter_map(|row| Some((row::text(row, "plugin").ok()?, read(row))));
    named.collect()
}
