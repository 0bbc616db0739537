//! Stored amounts of each tenant, and deletion of the data that is too much or too old.
//!
//! The amounts change in the same transaction as the rows, so they always match.

use std::collections::BTreeMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqliteExecutor};

use super::blocks::{self, Oldest};
use super::{ROWS, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::domain::units::as_u64;
use crate::storage::{DbError, Kept};

/// The most log lines, and the most records, that one round deletes. The limit keeps other writers
/// from waiting long. The last block is deleted as a whole.
const PRUNED_AT_ONCE: u32 = 5_000;

/// The stored amounts of a tenant.
pub(super) async fn read(executor: impl SqliteExecutor<'_>, tenant: TenantId) -> Result<Kept, DbError> {
    let row = sqlx::query("SELECT records, log_bytes FROM kept WHERE tenant = $1")
        .bind(tenant.to_string())
        .fetch_optional(executor)
        .await
        .map_err(unavailable)?;
    row.as_ref().map_or(Ok(Kept::default()), from_row)
}

/// Adds newly written amounts. Returns the new amounts of these tenants.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    added: BTreeMap<TenantId, Kept>,
) -> Result<BTreeMap<TenantId, Kept>, DbError> {
    let mut now = BTreeMap::new();
    let added: Vec<_> = added.into_iter().collect();
    for some in added.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO kept (tenant, records, log_bytes) ");
        query.push_values(some, |mut values, (tenant, added)| {
            values
                .push_bind(tenant.to_string())
                .push_bind(row::to_integer(added.records))
                .push_bind(row::to_integer(added.log_bytes));
        });
        query.push(
            " ON CONFLICT (tenant) DO UPDATE SET \
             records = kept.records + excluded.records, log_bytes = kept.log_bytes + excluded.log_bytes \
             RETURNING tenant, records, log_bytes",
        );
        let query = query.build().persistent(some.len() == 1);
        let rows = query.fetch_all(&mut *connection).await.map_err(unavailable)?;
        for row in &rows {
            now.insert(row::parsed(row, "tenant")?, from_row(row)?);
        }
    }
    Ok(now)
}

/// Deletes data from before `before`, in one round. Returns the number of deleted rows.
pub(super) async fn prune_before(
    connection: &mut SqliteConnection,
    before: Timestamp,
) -> Result<u64, DbError> {
    let tenants = sqlx::query("SELECT tenant FROM kept WHERE records > 0 OR log_bytes > 0")
        .fetch_all(&mut *connection)
        .await
        .map_err(unavailable)?;
    let mut rows = 0;
    for row in &tenants {
        let left = u64::from(PRUNED_AT_ONCE).saturating_sub(rows);
        if left == 0 {
            break;
        }
        let tenant: TenantId = row::parsed(row, "tenant")?;
        let lines = delete_lines_before(connection, tenant, before, left).await?;
        // Ids begin with a time, so blocks are ordered by time.
        let is_old = |_, block: &Oldest| block.started_last < before;
        let records = blocks::delete_oldest(connection, tenant, left, is_old).await?;
        rows += as_u64(lines.len()) + records;
        let gone = Kept {
            records,
            log_bytes: lines.iter().sum(),
        };
        if gone != Kept::default() {
            subtract(connection, tenant, gone).await?;
        }
    }
    Ok(rows)
}

/// Deletes up to `most` lines from before `before`. Returns the bytes of each.
async fn delete_lines_before(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    before: Timestamp,
    most: u64,
) -> Result<Vec<u64>, DbError> {
    let deleted = sqlx::query(
        "DELETE FROM log_lines WHERE rowid IN \
         (SELECT rowid FROM log_lines WHERE tenant = $1 AND at < $2 ORDER BY at LIMIT $3) \
         RETURNING octet_length(message) + octet_length(fields) + 200 AS bytes",
    )
    .bind(tenant.to_string())
    .bind(before.0)
    .bind(row::to_integer(most))
    .fetch_all(connection)
    .await
    .map_err(unavailable)?;
    deleted.iter().map(|line| row::number(line, "bytes")).collect()
}

/// Deletes a tenant's oldest data above `most`. Returns the remaining amounts. A block with records
/// below the limit is kept.
pub(super) async fn prune_beyond(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    most: Kept,
) -> Result<Kept, DbError> {
    let kept = read(&mut *connection, tenant).await?;
    let beyond = kept.records.saturating_sub(most.records);
    let is_beyond = |gone, block: &Oldest| gone + block.records <= beyond;
    let gone = Kept {
        records: blocks::delete_oldest(connection, tenant, PRUNED_AT_ONCE.into(), is_beyond).await?,
        log_bytes: delete_lines(connection, tenant, kept.log_bytes.saturating_sub(most.log_bytes)).await?,
    };
    subtract(connection, tenant, gone).await
}

/// Deletes the oldest lines of at least `bytes` bytes together, in one round. Returns their bytes.
async fn delete_lines(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    bytes: u64,
) -> Result<u64, DbError> {
    if bytes == 0 {
        return Ok(0);
    }
    let oldest = sqlx::query(
        "SELECT at, invocation, position, octet_length(message) + octet_length(fields) + 200 AS bytes \
         FROM log_lines WHERE tenant = $1 ORDER BY at, invocation, position LIMIT $2",
    )
    .bind(tenant.to_string())
    .bind(PRUNED_AT_ONCE)
    .fetch_all(&mut *connection)
    .await
    .map_err(unavailable)?;
    let (mut freed, mut last) = (0, None);
    for line in &oldest {
        if freed >= bytes {
            break;
        }
        freed += row::number::<u64>(line, "bytes")?;
        last = Some(line);
    }
    let Some(last) = last else { return Ok(0) };
    sqlx::query("DELETE FROM log_lines WHERE tenant = $1 AND (at, invocation, position) <= ($2, $3, $4)")
        .bind(tenant.to_string())
        .bind(row::integer(last, "at")?)
        .bind(row::text(last, "invocation")?)
        .bind(row::integer(last, "position")?)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(freed)
}

/// Subtracts deleted amounts of a tenant. Returns the remaining ones.
async fn subtract(connection: &mut SqliteConnection, tenant: TenantId, gone: Kept) -> Result<Kept, DbError> {
    let row = sqlx::query(
        "UPDATE kept SET records = MAX(0, records - $2), log_bytes = MAX(0, log_bytes - $3) WHERE tenant = $1 \
         RETURNING records, log_bytes",
    )
    .bind(tenant.to_string())
    .bind(row::to_integer(gone.records))
    .bind(row::to_integer(gone.log_bytes))
    .fetch_optional(connection)
    .await
    .map_err(unavailable)?;
    row.as_ref().map_or(Ok(Kept::default()), from_row)
}

fn from_row(row: &SqliteRow) -> Result<Kept, DbError> {
    Ok(Kept {
        records: row::number(row, "records")?,
        log_bytes: row::number(row, "log_bytes")?,
    })
}
