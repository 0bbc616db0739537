//! The state of schedules in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, or_missing, row, unavailable};
use super::add;
use super::effects::Effects;
use crate::domain::id::{PluginName, ScheduleName, TenantId};
use crate::domain::resource::Resource;
use crate::storage::{Added, DbError, DueTime, ScheduleState, Schedules, Ticked};

#[async_trait]
impl Schedules for SqliteRepository {
    async fn schedules(&self) -> Result<Vec<ScheduleState>, DbError> {
        let rows = sqlx::query("SELECT * FROM schedules ORDER BY tenant, plugin, name")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn begin_schedule(&self, state: &ScheduleState) -> Result<(), DbError> {
        sqlx::query(BEGIN)
            .bind(state.tenant.to_string())
            .bind(state.plugin.as_str())
            .bind(state.name.as_str())
            .bind(state.expression.as_str())
            .bind(state.last_due.0)
            .execute(&self.writer)
            .await
            .map_err(or_missing(Resource::Plugin))?;
        Ok(())
    }

    async fn end_schedule(
        &self,
        tenant: TenantId,
        plugin: &PluginName,
        name: &ScheduleName,
    ) -> Result<(), DbError> {
        sqlx::query("DELETE FROM schedules WHERE tenant = $1 AND plugin = $2 AND name = $3")
            .bind(tenant.to_string())
            .bind(plugin.as_str())
            .bind(name.as_str())
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    async fn handle_times(&self, due: &[DueTime]) -> Result<Vec<Ticked>, DbError> {
        let mut transaction = self.begin().await?;
        let mut effects = Effects::default();
        let mut handled = Vec::with_capacity(due.len());
        for time in due {
            handled.push(handle(&mut transaction, time, &mut effects).await?);
        }
        effects.write(&mut transaction).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(handled)
    }
}

async fn handle(
    connection: &mut SqliteConnection,
    due: &DueTime,
    effects: &mut Effects,
) -> Result<Ticked, DbError> {
    let state = &due.state;
    let advanced = sqlx::query(ADVANCE)
        .bind(state.tenant.to_string())
        .bind(state.plugin.as_str())
        .bind(state.name.as_str())
        .bind(state.expression.as_str())
        .bind(state.last_due.0)
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    // If the time is recorded but was not reached yet, the schedule began anew with an earlier
    // time, since a clock was set back. It goes on after the times that were handled before.
    if advanced.rows_affected() == 0 || !record(connection, state).await? {
        return Ok(Ticked::Before);
    }
    let added = match &due.job {
        Some(job) => add::insert(connection, &[job], effects).await?.pop(),
        None => None,
    };
    if let Some(Added::New(id)) = added {
        sqlx::query(NAME_JOB)
            .bind(state.tenant.to_string())
            .bind(state.plugin.as_str())
            .bind(state.name.as_str())
            .bind(state.last_due.0)
            .bind(id.to_string())
            .execute(connection)
            .await
            .map_err(unavailable)?;
    }
    Ok(Ticked::Now(added))
}

/// Records the tick. `false` if it is there already.
async fn record(connection: &mut SqliteConnection, due: &ScheduleState) -> Result<bool, DbError> {
    let recorded = sqlx::query(
        "INSERT INTO schedule_ticks (tenant, plugin, schedule, due_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
    )
    .bind(due.tenant.to_string())
    .bind(due.plugin.as_str())
    .bind(due.name.as_str())
    .bind(due.last_due.0)
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(recorded.rows_affected() > 0)
}

fn read(row: &SqliteRow) -> Result<ScheduleState, DbError> {
    Ok(ScheduleState {
        tenant: row::parsed(row, "tenant")?,
        plugin: row::parsed(row, "plugin")?,
        name: row::parsed(row, "name")?,
        expression: row::text(row, "expression")?,
        last_due: row::timestamp(row, "last_due")?,
    })
}

const BEGIN: &str = "INSERT INTO schedules (tenant, plugin, name, expression, last_due) VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (tenant, plugin, name) DO UPDATE SET expression = excluded.expression, last_due = excluded.last_due \
    WHERE schedules.expression <> excluded.expression";

/// Goes on to a later time, unless the schedule ended or began anew with another expression.
const ADVANCE: &str = "UPDATE schedules SET last_due = $5 \
    WHERE tenant = $1 AND plugin = $2 AND name = $3 AND expression = $4 AND last_due < $5";

const NAME_JOB: &str = "UPDATE schedule_ticks SET job = $5 \
    WHERE tenant = $1 AND plugin = $2 AND schedule = $3 AND due_at = $4";
