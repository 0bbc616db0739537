//! Daily counts of calls in SQLite.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{ROWS, SqliteRepository, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::totals::{Calls, RouteDay};
use crate::storage::{
    CALLERS_A_DAY, CallCounts, CallFilter, CallPosition, Caller, CountedCalls, DbError, Page,
};

/// Days of tenants that one round deletes. The limit keeps other writers from waiting long.
const FORGOTTEN_AT_ONCE: u32 = 20;

/// A row to which calls are added.
struct Row<'a> {
    key: &'a RouteDay,
    caller: Caller,
    calls: Calls,
}

/// Adds calls. A batch has few distinct callers of routes, and most of them already have a row.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    calls: impl Iterator<Item = (&RouteDay, Calls)>,
) -> Result<(), DbError> {
    let mut rows: Vec<Row<'_>> = calls
        .map(|(key, calls)| Row {
            key,
            caller: key.principal.into(),
            calls,
        })
        .collect();
    for some in rows.chunks_mut(ROWS) {
        let known = known(connection, some).await?;
        if known.len() < some.len() {
            bound(connection, some, &known).await?;
        }
        insert(connection, some).await?;
    }
    Ok(())
}

/// The indices of the rows that exist.
async fn known(connection: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<HashSet<usize>, DbError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT v.column7 AS place FROM (");
    query.push_values(rows.iter().zip(0_i64..), |mut values, (row, place)| {
        let key = row.key;
        values
            .push_bind(key.tenant.to_string())
            .push_bind(key.day.0)
            .push_bind(key.plugin.as_str().to_owned())
            .push_bind(key.method.as_str().to_owned())
            .push_bind(key.route.to_string())
            .push_bind(row.caller.to_string())
            .push_bind(place);
    });
    query.push(
        ") AS v JOIN daily_calls d ON d.tenant = v.column1 AND d.day = v.column2 AND d.plugin = v.column3 \
         AND d.method = v.column4 AND d.route = v.column5 AND d.caller = v.column6",
    );
    let found = query.build().persistent(false).fetch_all(connection).await;
    let found = found.map_err(unavailable)?;
    found.iter().map(|found| row::number(found, "place")).collect()
}

/// Counts the new rows. Replaces their callers by [`Caller::Others`] if a tenant has too many on a
/// day.
async fn bound(
    connection: &mut SqliteConnection,
    rows: &mut [Row<'_>],
    known: &HashSet<usize>,
) -> Result<(), DbError> {
    let mut added: HashMap<(TenantId, Timestamp), u64> = HashMap::new();
    let mut counts = HashMap::new();
    for (place, row) in rows.iter_mut().enumerate() {
        if known.contains(&place) {
            continue;
        }
        let day = (row.key.tenant, row.key.day);
        let there = match counts.get(&day) {
            Some(there) => *there,
            None => {
                let there = count(connection, day).await?;
                counts.insert(day, there);
                there
            }
        };
        let added = added.entry(day).or_default();
        if there + *added < CALLERS_A_DAY {
            *added += 1;
        } else {
            row.caller = Caller::Others;
        }
    }
    for ((tenant, day), added) in added {
        sqlx::query(
            "INSERT INTO daily_call_rows (day, tenant, rows) VALUES ($1, $2, $3) \
             ON CONFLICT (day, tenant) DO UPDATE SET rows = daily_call_rows.rows + excluded.rows",
        )
        .bind(day.0)
        .bind(tenant.to_string())
        .bind(row::to_integer(added))
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    }
    Ok(())
}

/// The number of a tenant's rows of a day.
async fn count(
    connection: &mut SqliteConnection,
    (tenant, day): (TenantId, Timestamp),
) -> Result<u64, DbError> {
    let found = sqlx::query("SELECT rows FROM daily_call_rows WHERE day = $1 AND tenant = $2")
        .bind(day.0)
        .bind(tenant.to_string())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    found.as_ref().map_or(Ok(0), |found| row::number(found, "rows"))
}

async fn insert(connection: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<(), DbError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO daily_calls (tenant, day, plugin, method, route, caller, invocations, failures) ",
    );
    query.push_values(rows, |mut values, row| {
        let key = row.key;
        values
            .push_bind(key.tenant.to_string())
            .push_bind(key.day.0)
            .push_bind(key.plugin.as_str().to_owned())
            .push_bind(key.method.as_str().to_owned())
            .push_bind(key.route.to_string())
            .push_bind(row.caller.to_string())
            .push_bind(row::to_integer(row.calls.invocations))
            .push_bind(row::to_integer(row.calls.failures));
    });
    query.push(
        " ON CONFLICT (tenant, day, plugin, method, route, caller) DO UPDATE SET \
         invocations = daily_calls.invocations + excluded.invocations, \
         failures = daily_calls.failures + excluded.failures",
    );
    // Statements with several rows differ in their number of rows, so they are not cached.
    let query = query.build().persistent(rows.len() == 1);
    query.execute(connection).await.map_err(unavailable)?;
    Ok(())
}

/// The position before all rows.
fn before_all() -> CallPosition {
    CallPosition {
        day: Timestamp(i64::MIN),
        method: String::new(),
        route: String::new(),
        caller: String::new(),
    }
}

#[async_trait]
impl CallCounts for SqliteRepository {
    async fn calls(
        &self,
        tenant: TenantId,
        filter: &CallFilter,
        page: Page<CallPosition>,
    ) -> Result<Vec<CountedCalls>, DbError> {
        let after = page.after.unwrap_or_else(before_all);
        let rows = sqlx::query(
            "SELECT * FROM daily_calls WHERE tenant = $1 AND day >= $2 AND day < $3 AND plugin = $4 \
             AND route = COALESCE($5, route) AND (day, method, route, caller) > ($6, $7, $8, $9) \
             ORDER BY day, method, route, caller LIMIT $10",
        )
        .bind(tenant.to_string())
        .bind(filter.from.0)
        .bind(filter.to.0)
        .bind(filter.plugin.as_str())
        .bind(filter.route.as_deref())
        .bind(after.day.0)
        .bind(after.method)
        .bind(after.route)
        .bind(after.caller)
        .bind(i64::from(page.limit))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        let read = |row: &SqliteRow| -> Result<CountedCalls, DbError> {
            Ok(CountedCalls {
                day: row::timestamp(row, "day")?,
                method: row::text(row, "method")?,
                route: row::text(row, "route")?,
                caller: row::parsed(row, "caller")?,
                calls: Calls {
                    invocations: row::number(row, "invocations")?,
                    failures: row::number(row, "failures")?,
                },
            })
        };
        // Callers of an unknown kind, from a later host, are skipped.
        Ok(rows.iter().filter_map(|row| read(row).ok()).collect())
    }

    async fn forget_calls_before(&self, before: Timestamp) -> Result<u64, DbError> {
        let mut transaction = self.begin().await?;
        let days =
            sqlx::query("SELECT day, tenant FROM daily_call_rows WHERE day < $1 ORDER BY day LIMIT $2")
                .bind(before.0)
                .bind(i64::from(FORGOTTEN_AT_ONCE))
                .fetch_all(&mut *transaction)
                .await
                .map_err(unavailable)?;
        let mut gone = 0;
        for found in &days {
            let (day, tenant) = (row::integer(found, "day")?, row::text(found, "tenant")?);
            for delete in [
                "DELETE FROM daily_calls WHERE day = $1 AND tenant = $2",
                "DELETE FROM daily_call_rows WHERE day = $1 AND tenant = $2",
            ] {
                let deleted = sqlx::query(delete)
                    .bind(day)
                    .bind(tenant.as_str())
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                gone += deleted.rows_affected();
            }
        }
        transaction.commit().await.map_err(unavailable)?;
        Ok(gone)
    }
}
