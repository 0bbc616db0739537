//! Log lines in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{ROWS, SqliteRepository, row, unavailable};
use crate::domain::id::TenantId;
use crate::domain::log_line::{Level, LogLine};
use crate::domain::units::as_u64;
use crate::storage::{DbError, Entry, LogFilter, LogLines, LogPosition, Page, StoredLogLine, WrittenAfter};

#[async_trait]
impl LogLines for SqliteRepository {
    async fn log_lines(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        page: Page<LogPosition>,
    ) -> Result<Vec<StoredLogLine>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT rowid AS written, * FROM log_lines");
        push_filter(&mut query, tenant, filter);
        if let Some(after) = page.after {
            query.push(" AND (at, invocation, position) < (");
            query.push_bind(after.at.0).push(", ");
            query.push_bind(after.invocation.to_string()).push(", ");
            query.push_bind(i64::from(after.position)).push(")");
        }
        query
            .push(" ORDER BY at DESC, invocation DESC, position DESC LIMIT ")
            .push_bind(i64::from(page.limit));
        let rows = query
            .build()
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn log_line_written(
        &self,
        tenant: TenantId,
        position: LogPosition,
    ) -> Result<Option<i64>, DbError> {
        let row = sqlx::query(
            "SELECT rowid AS written FROM log_lines WHERE tenant = $1 AND invocation = $2 AND position = $3",
        )
        .bind(tenant.to_string())
        .bind(position.invocation.to_string())
        .bind(i64::from(position.position))
        .fetch_optional(&self.readers)
        .await
        .map_err(unavailable)?;
        row.map(|row| row::integer(&row, "written")).transpose()
    }

    async fn log_lines_written(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        after: WrittenAfter,
        limit: u32,
    ) -> Result<Vec<StoredLogLine>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT rowid AS written, * FROM log_lines");
        push_filter(&mut query, tenant, filter);
        push_after(&mut query, after);
        query.push(" ORDER BY +rowid LIMIT ").push_bind(i64::from(limit));
        let rows = query
            .build()
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn invocations_written(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        after: WrittenAfter,
    ) -> Result<u64, DbError> {
        let select = "SELECT COUNT(DISTINCT invocation) AS invocations FROM log_lines";
        let mut query = QueryBuilder::<Sqlite>::new(select);
        push_filter(&mut query, tenant, filter);
        push_after(&mut query, after);
        let row = query
            .build()
            .fetch_one(&self.readers)
            .await
            .map_err(unavailable)?;
        row::number(&row, "invocations")
    }
}

fn push_filter(query: &mut QueryBuilder<Sqlite>, tenant: TenantId, filter: &LogFilter) {
    query.push(" WHERE tenant = ").push_bind(tenant.to_string());
    if let Some(plugin) = &filter.plugin {
        query.push(" AND plugin = ").push_bind(plugin.to_string());
    }
    if let Some(level) = filter.level {
        query.push(" AND level >= ").push_bind(rank(level));
    }
    if let Some(invocation) = filter.invocation {
        query.push(" AND invocation = ").push_bind(invocation.to_string());
    }
    if let Some(since) = filter.since {
        query.push(" AND at >= ").push_bind(since.0);
    }
}

/// The order in which lines are written is that of their rows: the writer adds each after all
/// others, and the row of the line to go on from is still there. The `+` keeps SQLite from going
/// through the rows of all tenants in that order: the index by tenant and time finds fewer.
fn push_after(query: &mut QueryBuilder<Sqlite>, after: WrittenAfter) {
    query.push(" AND at >= ").push_bind(after.at_least.0);
    query.push(" AND +rowid > ").push_bind(after.written);
}

/// Adds the lines of new invocations, many with each statement. Gives back what those of each entry count for, in bytes.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    entries: &[&Entry],
) -> Result<Vec<u64>, DbError> {
    let mut bytes = vec![0; entries.len()];
    let mut lines: Vec<(usize, usize, &LogLine)> = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        let of_entry = entry.log_lines.iter().enumerate();
        lines.extend(of_entry.map(|(position, line)| (index, position, line)));
    }
    for some in lines.chunks(ROWS) {
        let mut rows = Vec::with_capacity(some.len());
        for (index, position, line) in some {
            let fields = row::to_json(&line.fields, "log_lines.fields")?;
            bytes[*index] += as_u64(line.message.len() + fields.len() + LogLine::OVERHEAD);
            rows.push((*position, *line, fields));
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO log_lines (tenant, invocation, position, plugin, at, level, message, fields) ",
        );
        query.push_values(rows, |mut row, (position, line, fields)| {
            row.push_bind(line.tenant.to_string())
                .push_bind(line.invocation.to_string())
                .push_bind(i64::try_from(position).unwrap_or(i64::MAX))
                .push_bind(line.plugin.as_str())
                .push_bind(line.at.0)
                .push_bind(rank(line.level))
                .push_bind(line.message.as_str())
                .push_bind(fields);
        });
        let query = query.build().persistent(some.len() == ROWS);
        query.execute(&mut *connection).await.map_err(unavailable)?;
    }
    Ok(bytes)
}

/// A level as a number, so that the database can compare. Stored: the order must not change.
fn rank(level: Level) -> i64 {
    match level {
        Level::Trace => 0,
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    }
}

fn read(row: &SqliteRow) -> Result<StoredLogLine, DbError> {
    let stored = row::integer(row, "level")?;
    let level = Level::ALL
        .into_iter()
        .find(|level| rank(*level) == stored)
        .ok_or_else(|| DbError::corrupt("log_lines.level", stored))?;
    Ok(StoredLogLine {
        position: row::number(row, "position")?,
        written: Some(row::integer(row, "written")?),
        line: LogLine {
            tenant: row::parsed(row, "tenant")?,
            plugin: row::parsed(row, "plugin")?,
            invocation: row::parsed(row, "invocation")?,
            at: row::timestamp(row, "at")?,
            level,
            message: row::text(row, "message")?,
            fields: row::json(row, "fields")?,
        },
    })
}
