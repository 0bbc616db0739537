//! Invocations and usage in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteRepository, log_lines, row, unavailable};
use crate::db::{DbError, Entry, InvocationFilter, Invocations, Page, UsageSum};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TenantId};
use crate::domain::invocation::{ABANDONED, InvocationRecord};
use crate::problem::Code;

const HOUR_MS: i64 = 3_600_000;

/// Rows that one round of pruning deletes, so that it does not keep other writers waiting.
const PRUNED_AT_ONCE: i64 = 5_000;

#[async_trait]
impl Invocations for SqliteRepository {
    async fn record(&self, entries: &[Entry]) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        let mut sums: BTreeMap<(TenantId, &PluginName, i64), UsageSum> = BTreeMap::new();
        for Entry { record, log_lines } in entries {
            if !insert(&mut transaction, record).await? {
                continue;
            }
            for (position, line) in log_lines.iter().enumerate() {
                log_lines::insert(&mut transaction, position, line).await?;
            }
            let hour = record.started_at.0.div_euclid(HOUR_MS) * HOUR_MS;
            sums.entry((record.tenant, &record.plugin, hour))
                .or_insert_with(|| UsageSum::none(record.plugin.clone()))
                .add(record);
        }
        for ((tenant, _, hour), sum) in &sums {
            add_usage(&mut transaction, *tenant, *hour, sum).await?;
        }
        transaction.commit().await.map_err(unavailable)
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
        let rows = sqlx::query(
            "SELECT plugin, SUM(invocations) AS invocations, SUM(failures) AS failures, SUM(cpu_us) AS cpu_us, \
             SUM(wall_us) AS wall_us, SUM(host_calls) AS host_calls, SUM(sql_statements) AS sql_statements, \
             SUM(sql_rows) AS sql_rows, SUM(cache_calls) AS cache_calls, SUM(http_requests) AS http_requests, \
             SUM(http_bytes) AS http_bytes, SUM(log_lines) AS log_lines, SUM(request_bytes) AS request_bytes, \
             SUM(response_bytes) AS response_bytes \
             FROM usage_hours WHERE tenant = $1 AND hour >= $2 AND hour < $3 GROUP BY plugin ORDER BY plugin",
        )
        .bind(tenant.to_string())
        .bind(from.0)
        .bind(to.0)
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        rows.iter().map(read_sum).collect()
    }

    async fn prune_before(&self, before: Timestamp) -> Result<u64, DbError> {
        let mut transaction = self.begin().await?;
        let lines = sqlx::query(
            "DELETE FROM log_lines WHERE (tenant, invocation, position) IN \
             (SELECT tenant, invocation, position FROM log_lines WHERE at < $1 LIMIT $2)",
        )
        .bind(before.0)
        .bind(PRUNED_AT_ONCE)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        let invocations = sqlx::query(
            "DELETE FROM invocations WHERE id IN (SELECT id FROM invocations WHERE started_at < $1 LIMIT $2)",
        )
        .bind(before.0)
        .bind(PRUNED_AT_ONCE)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(lines.rows_affected() + invocations.rows_affected())
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
    .bind(row::to_json(&record.usage, "invocations.consumed")?)
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(inserted.rows_affected() > 0)
}

async fn add_usage(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    hour: i64,
    sum: &UsageSum,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO usage_hours (tenant, plugin, hour, invocations, failures, cpu_us, wall_us, host_calls, \
         sql_statements, sql_rows, cache_calls, http_requests, http_bytes, log_lines, request_bytes, response_bytes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         ON CONFLICT (tenant, plugin, hour) DO UPDATE SET \
         invocations = usage_hours.invocations + excluded.invocations, \
         failures = usage_hours.failures + excluded.failures, \
         cpu_us = usage_hours.cpu_us + excluded.cpu_us, \
         wall_us = usage_hours.wall_us + excluded.wall_us, \
         host_calls = usage_hours.host_calls + excluded.host_calls, \
         sql_statements = usage_hours.sql_statements + excluded.sql_statements, \
         sql_rows = usage_hours.sql_rows + excluded.sql_rows, \
         cache_calls = usage_hours.cache_calls + excluded.cache_calls, \
         http_requests = usage_hours.http_requests + excluded.http_requests, \
         http_bytes = usage_hours.http_bytes + excluded.http_bytes, \
         log_lines = usage_hours.log_lines + excluded.log_lines, \
         request_bytes = usage_hours.request_bytes + excluded.request_bytes, \
         response_bytes = usage_hours.response_bytes + excluded.response_bytes",
    )
    .bind(tenant.to_string())
    .bind(sum.plugin.as_str())
    .bind(hour)
    .bind(row::to_integer(sum.invocations))
    .bind(row::to_integer(sum.failures))
    .bind(row::to_integer(sum.cpu_us))
    .bind(row::to_integer(sum.wall_us))
    .bind(row::to_integer(sum.host_calls))
    .bind(row::to_integer(sum.sql_statements))
    .bind(row::to_integer(sum.sql_rows))
    .bind(row::to_integer(sum.cache_calls))
    .bind(row::to_integer(sum.http_requests))
    .bind(row::to_integer(sum.http_bytes))
    .bind(row::to_integer(sum.log_lines))
    .bind(row::to_integer(sum.request_bytes))
    .bind(row::to_integer(sum.response_bytes))
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(())
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

fn read_sum(row: &SqliteRow) -> Result<UsageSum, DbError> {
    Ok(UsageSum {
        plugin: row::parsed(row, "plugin")?,
        invocations: row::number(row, "invocations")?,
        failures: row::number(row, "failures")?,
        cpu_us: row::number(row, "cpu_us")?,
        wall_us: row::number(row, "wall_us")?,
        host_calls: row::number(row, "host_calls")?,
        sql_statements: row::number(row, "sql_statements")?,
        sql_rows: row::number(row, "sql_rows")?,
        cache_calls: row::number(row, "cache_calls")?,
        http_requests: row::number(row, "http_requests")?,
        http_bytes: row::number(row, "http_bytes")?,
        log_lines: row::number(row, "log_lines")?,
        request_bytes: row::number(row, "request_bytes")?,
        response_bytes: row::number(row, "response_bytes")?,
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
