//! What was consumed, summed by hour.

use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

use super::{row, unavailable};
use crate::db::{DbError, UsageSum};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;

/// Adds what a plugin consumed in an hour.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    hour: Timestamp,
    sum: &UsageSum,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO usage_hours (tenant, plugin, hour, invocations, failures, queued_us, cpu_us, wall_us, host_calls, sql_statements, sql_us, \
         sql_rows, sql_bytes, cache_calls, http_requests, http_bytes, http_us, log_lines, \
         log_lines_dropped, log_bytes, request_bytes, response_bytes) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) \
         ON CONFLICT (tenant, plugin, hour) DO UPDATE SET \
         invocations = usage_hours.invocations + excluded.invocations, \
         failures = usage_hours.failures + excluded.failures, \
         queued_us = usage_hours.queued_us + excluded.queued_us, \
         cpu_us = usage_hours.cpu_us + excluded.cpu_us, \
         wall_us = usage_hours.wall_us + excluded.wall_us, \
         host_calls = usage_hours.host_calls + excluded.host_calls, \
         sql_statements = usage_hours.sql_statements + excluded.sql_statements, \
         sql_us = usage_hours.sql_us + excluded.sql_us, \
         sql_rows = usage_hours.sql_rows + excluded.sql_rows, \
         sql_bytes = usage_hours.sql_bytes + excluded.sql_bytes, \
         cache_calls = usage_hours.cache_calls + excluded.cache_calls, \
         http_requests = usage_hours.http_requests + excluded.http_requests, \
         http_bytes = usage_hours.http_bytes + excluded.http_bytes, \
         http_us = usage_hours.http_us + excluded.http_us, \
         log_lines = usage_hours.log_lines + excluded.log_lines, \
         log_lines_dropped = usage_hours.log_lines_dropped + excluded.log_lines_dropped, \
         log_bytes = usage_hours.log_bytes + excluded.log_bytes, \
         request_bytes = usage_hours.request_bytes + excluded.request_bytes, \
         response_bytes = usage_hours.response_bytes + excluded.response_bytes",
    )
    .bind(tenant.to_string())
    .bind(sum.plugin.as_str())
    .bind(hour.0)
    .bind(row::to_integer(sum.invocations))
    .bind(row::to_integer(sum.failures))
    .bind(row::to_integer(sum.queued_us))
    .bind(row::to_integer(sum.cpu_us))
    .bind(row::to_integer(sum.wall_us))
    .bind(row::to_integer(sum.host_calls))
    .bind(row::to_integer(sum.sql_statements))
    .bind(row::to_integer(sum.sql_us))
    .bind(row::to_integer(sum.sql_rows))
    .bind(row::to_integer(sum.sql_bytes))
    .bind(row::to_integer(sum.cache_calls))
    .bind(row::to_integer(sum.http_requests))
    .bind(row::to_integer(sum.http_bytes))
    .bind(row::to_integer(sum.http_us))
    .bind(row::to_integer(sum.log_lines))
    .bind(row::to_integer(sum.log_lines_dropped))
    .bind(row::to_integer(sum.log_bytes))
    .bind(row::to_integer(sum.request_bytes))
    .bind(row::to_integer(sum.response_bytes))
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(())
}

/// What each plugin consumed in the hours that begin in `from..to`.
pub(super) async fn sums(
    readers: &SqlitePool,
    tenant: TenantId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<UsageSum>, DbError> {
    let rows = sqlx::query(
        "SELECT plugin, SUM(invocations) AS invocations, SUM(failures) AS failures, SUM(queued_us) AS queued_us, \
         SUM(cpu_us) AS cpu_us, SUM(wall_us) AS wall_us, SUM(host_calls) AS host_calls, \
         SUM(sql_statements) AS sql_statements, SUM(sql_us) AS sql_us, SUM(sql_rows) AS sql_rows, \
         SUM(sql_bytes) AS sql_bytes, SUM(cache_calls) AS cache_calls, \
         SUM(http_requests) AS http_requests, SUM(http_bytes) AS http_bytes, SUM(http_us) AS http_us, \
         SUM(log_lines) AS log_lines, SUM(log_lines_dropped) AS log_lines_dropped, \
         SUM(log_bytes) AS log_bytes, SUM(request_bytes) AS request_bytes, \
         SUM(response_bytes) AS response_bytes \
         FROM usage_hours WHERE tenant = $1 AND hour >= $2 AND hour < $3 GROUP BY plugin ORDER BY plugin",
    )
    .bind(tenant.to_string())
    .bind(from.0)
    .bind(to.0)
    .fetch_all(readers)
    .await
    .map_err(unavailable)?;
    rows.iter().map(read).collect()
}

fn read(row: &SqliteRow) -> Result<UsageSum, DbError> {
    Ok(UsageSum {
        plugin: row::parsed(row, "plugin")?,
        invocations: row::number(row, "invocations")?,
        failures: row::number(row, "failures")?,
        queued_us: row::number(row, "queued_us")?,
        cpu_us: row::number(row, "cpu_us")?,
        wall_us: row::number(row, "wall_us")?,
        host_calls: row::number(row, "host_calls")?,
        sql_statements: row::number(row, "sql_statements")?,
        sql_us: row::number(row, "sql_us")?,
        sql_rows: row::number(row, "sql_rows")?,
        sql_bytes: row::number(row, "sql_bytes")?,
        cache_calls: row::number(row, "cache_calls")?,
        http_requests: row::number(row, "http_requests")?,
        http_bytes: row::number(row, "http_bytes")?,
        http_us: row::number(row, "http_us")?,
        log_lines: row::number(row, "log_lines")?,
        log_lines_dropped: row::number(row, "log_lines_dropped")?,
        log_bytes: row::number(row, "log_bytes")?,
        request_bytes: row::number(row, "request_bytes")?,
        response_bytes: row::number(row, "response_bytes")?,
    })
}
