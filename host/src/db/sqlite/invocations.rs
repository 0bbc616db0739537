//! Invocations and usage in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteRepository, kept, log_lines, row, unavailable, usage};
use crate::db::{DbError, Entry, InvocationFilter, Invocations, Kept, Page, UsageSum};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TenantId};
use crate::domain::invocation::{ABANDONED, InvocationRecord, Usage};
use crate::problem::Code;

const HOUR_MS: i64 = 3_600_000;

#[async_trait]
impl Invocations for SqliteRepository {
    async fn record(&self, entries: &[Entry]) -> Result<BTreeMap<TenantId, Kept>, DbError> {
        let mut transaction = self.begin().await?;
        let mut sums: BTreeMap<(TenantId, &PluginName, i64), UsageSum> = BTreeMap::new();
        let mut added: BTreeMap<TenantId, Kept> = BTreeMap::new();
        for Entry { record, log_lines } in entries {
            if !insert(&mut transaction, record).await? {
                continue;
            }
            let added = added.entry(record.tenant).or_default();
            added.records += 1;
            for (position, line) in log_lines.iter().enumerate() {
                added.log_bytes += log_lines::insert(&mut transaction, position, line).await?;
            }
            let hour = record.started_at.0.div_euclid(HOUR_MS) * HOUR_MS;
            sums.entry((record.tenant, &record.plugin, hour))
                .or_insert_with(|| UsageSum::none(record.plugin.clone()))
                .add(record);
        }
        for ((tenant, _, hour), sum) in &sums {
            usage::add(&mut transaction, *tenant, *hour, sum).await?;
        }
        for (tenant, kept) in &mut added {
            *kept = kept::add(&mut transaction, *tenant, *kept).await?;
        }
        transaction.commit().await.map_err(unavailable)?;
        Ok(added)
    }

    async fn kept(&self, tenant: TenantId) -> Result<Kept, DbError> {
        kept::read(&self.readers, tenant).await
    }

    async fn invocation(
        &self,
        tenant: TenantId,
        id: InvocationId,
    ) -> Result<Option<InvocationRecord>, DbError> {
        let row = sqlx::query("SELECT * FROM invocations WHERE tenant = $1 AND id = $2")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn invocations(
        &self,
        tenant: TenantId,
        filter: &InvocationFilter,
        page: Page<InvocationId>,
    ) -> Result<Vec<InvocationRecord>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM invocations WHERE tenant = ");
        query.push_bind(tenant.to_string());
        if let Some(plugin) = &filter.plugin {
            query.push(" AND plugin = ").push_bind(plugin.to_string());
        }
        if let Some(since) = filter.since {
            query.push(" AND started_at >= ").push_bind(since.0);
        }
        if filter.failed {
            query.push(" AND code IS NOT NULL");
        }
        if let Some(after) = page.after {
            query.push(" AND id < ").push_bind(after.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(page.limit));
        let rows = query
            .build()
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn usage(
        &self,
        tenant: TenantId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<UsageSum>, DbError> {
        usage::sums(&self.readers, tenant, from, to).await
    }

    async fn prune_before(&self, before: Timestamp) -> Result<u64, DbError> {
        let mut transaction = self.begin().await?;
        let rows = kept::prune_before(&mut transaction, before).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(rows)
    }

    async fn prune_beyond(&self, tenant: TenantId, most: Kept) -> Result<Kept, DbError> {
        let mut transaction = self.begin().await?;
        let left = kept::prune_beyond(&mut transaction, tenant, most).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(left)
    }
}

/// Whether the invocation was new and its tenant still there.
async fn insert(connection: &mut SqliteConnection, record: &InvocationRecord) -> Result<bool, DbError> {
    let inserted = sqlx::query(
        "INSERT INTO invocations (id, tenant, plugin, version, trigger_kind, method, route, status, code, blame, \
         principal, started_at, consumed) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13 \
         WHERE EXISTS (SELECT 1 FROM tenants WHERE id = $2) ON CONFLICT (id) DO NOTHING",
    )
    .bind(record.id.to_string())
    .bind(record.tenant.to_string())
    .bind(record.plugin.as_str())
    .bind(record.version.to_string())
    .bind(word(&record.trigger, "invocations.trigger_kind")?)
    .bind(record.method.as_str())
    .bind(record.route.as_str())
    .bind(i64::from(record.status))
    .bind(record.code)
    .bind(
        record
            .blame
            .map(|blame| word(&blame, "invocations.blame"))
            .transpose()?,
    )
    .bind(record.principal.as_deref())
    .bind(record.started_at.0)
    .bind(consumed(&record.usage)?)
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(inserted.rows_affected() > 0)
}

/// What was consumed, without what was not: most records are of invocations that used little.
fn consumed(usage: &Usage) -> Result<String, DbError> {
    const COLUMN: &str = "invocations.consumed";
    let mut numbers = serde_json::to_value(usage).map_err(|error| DbError::corrupt(COLUMN, error))?;
    if let Some(numbers) = numbers.as_object_mut() {
        numbers.retain(|_, number| number.as_u64() != Some(0));
    }
    row::to_json(&numbers, COLUMN)
}

fn read(row: &SqliteRow) -> Result<InvocationRecord, DbError> {
    let code = row::optional_text(row, "code")?
        .map(|text| {
            let mut known = Code::ALL.iter().map(|code| code.as_str()).chain([ABANDONED]);
            let known = known.find(|code| *code == text);
            known.ok_or_else(|| DbError::corrupt("invocations.code", text))
        })
        .transpose()?;
    let blame = row::optional_text(row, "blame")?
        .map(|text| from_word(text, "invocations.blame"))
        .transpose()?;
    Ok(InvocationRecord {
        id: row::parsed(row, "id")?,
        tenant: row::parsed(row, "tenant")?,
        plugin: row::parsed(row, "plugin")?,
        version: row::parsed(row, "version")?,
        trigger: from_word(row::text(row, "trigger_kind")?, "invocations.trigger_kind")?,
        method: row::text(row, "method")?,
        route: row::text(row, "route")?,
        status: row::number(row, "status")?,
        code,
        blame,
        principal: row::optional_text(row, "principal")?,
        started_at: row::timestamp(row, "started_at")?,
        usage: row::json(row, "consumed")?,
    })
}

/// A word of the domain as it is written in JSON.
fn word<T: Serialize>(value: &T, column: &'static str) -> Result<String, DbError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(DbError::corrupt(column, format!("{other:?} is not a word"))),
    }
}

fn from_word<T: DeserializeOwned>(word: String, column: &'static str) -> Result<T, DbError> {
    serde_json::from_value(word.into()).map_err(|error| DbError::corrupt(column, error))
}
