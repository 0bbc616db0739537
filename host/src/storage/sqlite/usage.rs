//! Usage of plugins by hour, in SQLite.

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::{ROWS, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::domain::invocation::UsageSum;
use crate::storage::DbError;

/// Adds sums, many per statement. Each statement is passed to the database's thread, which costs
/// more than a row.
pub(super) async fn add(
    connection: &mut SqliteConnection,
    sums: &[(TenantId, Timestamp, &UsageSum)],
) -> Result<(), DbError> {
    let columns = UsageSum::NAMES.join(", ");
    let added = each_number(|name| format!("{name} = usage_hours.{name} + excluded.{name}"));
    for some in sums.chunks(ROWS) {
        let insert = format!("INSERT INTO usage_hours (tenant, plugin, hour, {columns}) ");
        let mut query = QueryBuilder::<Sqlite>::new(insert);
        query.push_values(some, |mut values, (tenant, hour, sum)| {
            values
                .push_bind(tenant.to_string())
                .push_bind(sum.plugin.to_string())
                .push_bind(hour.0);
            for number in sum.numbers() {
                values.push_bind(row::to_integer(number));
            }
        });
        query.push(format!(
            " ON CONFLICT (tenant, plugin, hour) DO UPDATE SET {added}"
        ));
        // Statements with several rows differ in their number of rows, so they are not cached.
        let query = query.build().persistent(some.len() == 1);
        query.execute(&mut *connection).await.map_err(unavailable)?;
    }
    Ok(())
}

/// The usage of each plugin in the hours that begin in `from..to`.
pub(super) async fn sums(
    readers: &SqlitePool,
    tenant: TenantId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<UsageSum>, DbError> {
    let sums = each_number(|name| format!("SUM({name}) AS {name}"));
    // The names are identifiers of fields, so the statement is safe.
    let statement = AssertSqlSafe(format!(
        "SELECT plugin, {sums} FROM usage_hours WHERE tenant = $1 AND hour >= $2 AND hour < $3 \
         GROUP BY plugin ORDER BY plugin"
    ));
    let rows = sqlx::query(statement)
        .bind(tenant.to_string())
        .bind(from.0)
        .bind(to.0)
        .fetch_all(readers)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read).collect()
}

fn each_number(part: impl Fn(&str) -> String) -> String {
    let parts: Vec<String> = UsageSum::NAMES.iter().map(|name| part(name)).collect();
    parts.join(", ")
}

fn read(row: &SqliteRow) -> Result<UsageSum, DbError> {
    UsageSum::try_of(row::parsed(row, "plugin")?, |name| row::number(row, name))
}
