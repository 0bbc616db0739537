//! Log lines in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{ROWS, SqliteRepository, row, unavailable};
use crate::domain::id::TenantId;
use crate::domain::log_line::{Level, LogLine};
use crate::domain::units::as_u64;
use crate::storage::{
    DbError, Entry, LinesWritten, LogFilter, LogLines, LogPosition, Page, StoredLogLine, WrittenAfter,
};

#[async_trait]
impl LogLines for SqliteRepository {
    async fn log_lines(
        &self,
        tenant: TenantId,
        filter: &LogFilter,
        page: Page<LogPosition>,
    ) -> Result<Vec<StoredLogLine>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new("");
        push_newest(&mut query, tenant, filter, page);
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
    ) -> Result<LinesWritten, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new("");
        push_next_rows(&mut query, tenant, after.written);
        let next = query
            .build()
            .fetch_one(&self.readers)
            .await
            .map_err(unavailable)?;
        let (count, last) = (row::number::<u32>(&next, "count")?, row::integer(&next, "last")?);
        let mut query = QueryBuilder::<Sqlite>::new("");
        push_written(&mut query, tenant, filter, after, last, limit);
        let rows = query
            .build()
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        let lines = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let is_full = u32::try_from(lines.len()).is_ok_and(|lines| lines >= limit);
        let reached = match lines.last() {
            Some(line) if is_full => line.written,
            _ => (count >= LINES_READ).then_some(last),
        };
        Ok(LinesWritten { lines, reached })
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
        query.push(" AND rowid > ").push_bind(after.written);
        push_at_least(&mut query, after);
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

fn push_newest(
    query: &mut QueryBuilder<Sqlite>,
    tenant: TenantId,
    filter: &LogFilter,
    page: Page<LogPosition>,
) {
    query.push("SELECT rowid AS written, * FROM log_lines");
    if filter.invocation.is_some() {
        // The index of the primary key. Other indexes match the order, but lead past every line of
        // the tenant.
        query.push(" INDEXED BY sqlite_autoindex_log_lines_1");
    }
    push_filter(query, tenant, filter);
    if let Some(after) = page.after {
        query.push(" AND (at, invocation, position) < (");
        query.push_bind(after.at.0).push(", ");
        query.push_bind(after.invocation.to_string()).push(", ");
        query.push_bind(i64::from(after.position)).push(")");
    }
    query
        .push(" ORDER BY at DESC, invocation DESC, position DESC LIMIT ")
        .push_bind(i64::from(page.limit));
}

/// The most lines of a tenant that one query examines, however few of them match.
const LINES_READ: u32 = 4_000;

/// The last of a tenant's next lines, and their number. The write order is that of the row ids: the
/// writer adds each row after all others, and the row from which reading continues still exists.
fn push_next_rows(query: &mut QueryBuilder<Sqlite>, tenant: TenantId, written: i64) {
    query.push(
        "SELECT COUNT(*) AS count, COALESCE(MAX(written), 0) AS last FROM \
         (SELECT rowid AS written FROM log_lines INDEXED BY log_lines_by_writing WHERE tenant = ",
    );
    query.push_bind(tenant.to_string());
    query.push(" AND rowid > ").push_bind(written);
    query
        .push(" ORDER BY rowid LIMIT ")
        .push_bind(i64::from(LINES_READ))
        .push(")");
}

/// Lines up to the row `last`, in write order.
fn push_written(
    query: &mut QueryBuilder<Sqlite>,
    tenant: TenantId,
    filter: &LogFilter,
    after: WrittenAfter,
    last: i64,
    limit: u32,
) {
    query.push("SELECT rowid AS written, * FROM log_lines INDEXED BY log_lines_by_writing");
    push_filter(query, tenant, filter);
    query.push(" AND rowid > ").push_bind(after.written);
    query.push(" AND rowid <= ").push_bind(last);
    push_at_least(query, after);
    query.push(" ORDER BY rowid LIMIT ").push_bind(i64::from(limit));
}

fn push_at_least(query: &mut QueryBuilder<Sqlite>, after: WrittenAfter) {
    if let Some(at_least) = after.at_least {
        query.push(" AND at >= ").push_bind(at_least.0);
    }
}

/// Adds the lines of new invocations, many per statement. Returns the counted bytes of each entry.
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

/// A level as a number, for comparison in SQL. The numbers are stored and must not change.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Timestamp;
    use crate::domain::id::InvocationId;
    use crate::storage::conformance::{entry, tenant};
    use crate::storage::{Invocations as _, conformance};

    async fn plan(repository: &SqliteRepository, push: impl FnOnce(&mut QueryBuilder<Sqlite>)) -> String {
        let mut query = QueryBuilder::<Sqlite>::new("EXPLAIN QUERY PLAN ");
        push(&mut query);
        let steps = query.build().fetch_all(&repository.readers).await.unwrap();
        let steps: Vec<String> = steps
            .iter()
            .map(|step| row::text(step, "detail").unwrap())
            .collect();
        steps.join("; ")
    }

    #[tokio::test]
    async fn reading_on_is_one_range_of_an_index_whatever_the_filter_is() {
        let folder = tempfile::tempdir().unwrap();
        let repository = SqliteRepository::open(folder.path()).await.unwrap();
        let tenant = TenantId::generate();
        let next = plan(&repository, |query| push_next_rows(query, tenant, 7)).await;
        assert!(
            next.contains("USING COVERING INDEX log_lines_by_writing (tenant=? AND rowid>?)"),
            "{next}"
        );
        assert!(!next.contains("TEMP B-TREE"), "{next}");
        let filter = LogFilter {
            plugin: Some(conformance::name("orders")),
            level: Some(Level::Warn),
            invocation: Some(InvocationId::generate()),
            since: Some(Timestamp(1)),
        };
        let after = WrittenAfter {
            written: 7,
            at_least: Some(Timestamp(1)),
        };
        for filter in [filter, LogFilter::default()] {
            let rows = plan(&repository, |query| {
                push_written(query, tenant, &filter, after, 9, 1);
            });
            let rows = rows.await;
            assert_eq!(
                rows,
                "SEARCH log_lines USING INDEX log_lines_by_writing (tenant=? AND rowid>? AND rowid<?)"
            );
        }
    }

    #[tokio::test]
    async fn lines_of_one_invocation_are_found_without_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let repository = SqliteRepository::open(folder.path()).await.unwrap();
        let tenant = TenantId::generate();
        for (plugin, level) in [
            (None, None),
            (Some(conformance::name("orders")), Some(Level::Warn)),
        ] {
            let filter = LogFilter {
                plugin,
                level,
                invocation: Some(InvocationId::generate()),
                since: Some(Timestamp(1)),
            };
            let newest = plan(&repository, |query| {
                push_newest(query, tenant, &filter, Page::first(1));
            });
            let newest = newest.await;
            assert!(
                newest.starts_with(
                    "SEARCH log_lines USING INDEX sqlite_autoindex_log_lines_1 (tenant=? AND invocation=?)"
                ),
                "{newest}"
            );
        }
    }

    #[tokio::test]
    async fn a_read_ends_after_so_many_lines_of_which_none_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let repository = SqliteRepository::open(folder.path()).await.unwrap();
        let acme = tenant(&repository, "acme").await.id;
        let most = usize::try_from(LINES_READ).unwrap();
        let noise = entry(acme, "orders", 1, &vec![Level::Info; most]);
        let wanted = entry(acme, "orders", 2, &[Level::Error]);
        repository.record(&[noise, wanted]).await.unwrap();
        let filter = LogFilter {
            level: Some(Level::Error),
            ..LogFilter::default()
        };
        let read = async |written| {
            let after = WrittenAfter {
                written,
                at_least: None,
            };
            repository
                .log_lines_written(acme, &filter, after, 9)
                .await
                .unwrap()
        };
        let first = read(0).await;
        assert_eq!(
            (first.lines.len(), first.reached),
            (0, Some(i64::from(LINES_READ)))
        );
        let second = read(i64::from(LINES_READ)).await;
        assert_eq!((second.lines.len(), second.reached), (1, None));
        let third = read(i64::from(LINES_READ) + 1).await;
        assert_eq!((third.lines.len(), third.reached), (0, None));
    }
}
