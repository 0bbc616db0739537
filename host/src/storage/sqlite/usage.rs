//! What was consumed, summed by hour.

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::{ROWS, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::domain::invocation::UsageSum;
use crate::storage::DbError;

/// Adds what plugins consumed in hours. Many go with one statement: each is handed to the thread of the database, and that
/// costs more than a row does.
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
    let sums = each_number(|name| format!("SUM({name}) AS {name}"));
    // The names are those of fields.
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
