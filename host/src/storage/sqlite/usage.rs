//! What was consumed, summed by hour.

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::{ROWS, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::{DbError, UsageSum};

/// Adds what plugins consumed in hours. Many go with one statement: each is handed to the thread of the database, and that
/// costs more than a row does.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    sums: &[(TenantId, Timestamp, &UsageSum)],
) -> Result<(), DbError> {
    for some in sums.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO usage_hours (tenant, plugin, hour, invocations, failures, queued_us, cpu_us, wall_us, \
             host_calls, sql_statements, sql_us, sql_rows, sql_bytes, cache_calls, http_requests, http_bytes, http_us, \
             log_lines, log_lines_dropped, log_bytes, request_bytes, response_bytes) ",
        );
        query.push_values(some, |mut values, (tenant, hour, sum)| {
            values
                .push_bind(tenant.to_string())
                .push_bind(sum.plugin.to_string())
                .push_bind(hour.0);
            let numbers = [
                sum.invocations,
                sum.failures,
                sum.queued_us,
                sum.cpu_us,
                sum.wall_us,
                sum.host_calls,
                sum.sql_statements,
                sum.sql_us,
                sum.sql_rows,
                sum.sql_bytes,
                sum.cache_calls,
                sum.http_requests,
                sum.http_bytes,
                sum.http_us,
                sum.log_lines,
                sum.log_lines_dropped,
                sum.log_bytes,
                sum.request_bytes,
                sum.response_bytes,
            ];
            for number in numbers {
                values.push_bind(row::to_integer(number));
            }
        });
        query.push(
            " ON CONFLICT (tenant, plugin, hour) DO UPDATE SET \
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
        );
        // Where there are many, their number is another one each time.
        let query = query.build().persistent(some.len() == 1);
        query.execute(&mut *connection).await.map_err(unavailable)?;
    }
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
