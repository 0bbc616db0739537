//! Reports about a tenant's jobs in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, jobs, row, unavailable};
use crate::domain::id::{JobName, PluginName, TenantId};
use crate::domain::job::JobState;
use crate::storage::{
    DbError, JobCounts, JobReports, JobsOfKind, PausedJobs, ReportedSchedule, ScheduleState, ScheduledRun,
};

const COUNTS: &str = "SELECT c.live, c.done, c.dead, \
        (SELECT count(*) FROM jobs WHERE tenant = $1 AND state = 'running') AS running, \
        (SELECT min(run_at) FROM jobs WHERE tenant = $1 AND state = 'ready') AS oldest_ready \
    FROM job_counts c WHERE c.tenant = $1";

const BY_KIND: &str = "SELECT plugin, name, state, count(*) AS jobs FROM jobs WHERE tenant = $1 \
        GROUP BY plugin, name, state \
    UNION ALL SELECT plugin, name, state, count(*) AS jobs FROM jobs_ended WHERE tenant = $1 \
        GROUP BY plugin, name, state";

const PAUSED: &str = "SELECT plugin, name FROM paused_jobs WHERE tenant = $1 ORDER BY plugin, name";

/// The last time with a job is the newest tick that has one.
const SCHEDULES: &str = "SELECT s.plugin, s.name, s.expression, s.last_due, t.job, t.due_at, e.ended_at, \
        COALESCE(j.state, e.state) AS state \
    FROM schedules s \
    LEFT JOIN schedule_ticks t ON t.tenant = s.tenant AND t.plugin = s.plugin AND t.schedule = s.name \
        AND t.due_at = (SELECT n.due_at FROM schedule_ticks n WHERE n.tenant = s.tenant AND n.plugin = s.plugin \
            AND n.schedule = s.name AND n.job IS NOT NULL ORDER BY n.due_at DESC LIMIT 1) \
    LEFT JOIN jobs j ON j.tenant = s.tenant AND j.id = t.job \
    LEFT JOIN jobs_ended e ON e.tenant = s.tenant AND e.id = t.job \
    WHERE s.tenant = $1 ORDER BY s.plugin, s.name";

#[async_trait]
impl JobReports for SqliteRepository {
    async fn job_counts_of(&self, tenant: TenantId) -> Result<JobCounts, DbError> {
        let row = sqlx::query(COUNTS)
            .bind(tenant.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else {
            return Ok(JobCounts::default());
        };
        Ok(JobCounts {
            live: row::number(&row, "live")?,
            running: row::number(&row, "running")?,
            done: row::number(&row, "done")?,
            dead: row::number(&row, "dead")?,
            oldest_ready: row::optional_timestamp(&row, "oldest_ready")?,
        })
    }

    async fn jobs_by_kind(&self, tenant: TenantId) -> Result<Vec<JobsOfKind>, DbError> {
        let rows = sqlx::query(BY_KIND)
            .bind(tenant.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        let read = |row: &SqliteRow| {
            Ok(JobsOfKind {
                plugin: jobs::plugin(row)?,
                name: row::parsed(row, "name")?,
                state: state(&row::text(row, "state")?)?,
                count: row::number(row, "jobs")?,
            })
        };
        rows.iter().map(read).collect()
    }

    async fn paused_jobs(&self, tenant: TenantId) -> Result<BTreeMap<PluginName, PausedJobs>, DbError> {
        let rows = sqlx::query(PAUSED)
            .bind(tenant.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        let mut paused: BTreeMap<PluginName, PausedJobs> = BTreeMap::new();
        for row in &rows {
            let of_plugin = paused.entry(row::parsed(row, "plugin")?).or_default();
            // An empty name stands for all of the plugin.
            if row::text(row, "name")?.is_empty() {
                of_plugin.all = true;
            } else {
                let name: JobName = row::parsed(row, "name")?;
                of_plugin.jobs.insert(name);
            }
        }
        Ok(paused)
    }

    async fn schedules_of(&self, tenant: TenantId) -> Result<Vec<ReportedSchedule>, DbError> {
        let rows = sqlx::query(SCHEDULES)
            .bind(tenant.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(|row| reported(tenant, row)).collect()
    }
}

fn reported(tenant: TenantId, row: &SqliteRow) -> Result<ReportedSchedule, DbError> {
    // The job of a tick may have been deleted.
    let last = match row::optional_text(row, "state")? {
        Some(text) => Some(ScheduledRun {
            job: row::parsed(row, "job")?,
            due: row::timestamp(row, "due_at")?,
            state: state(&text)?,
            ended_at: row::optional_timestamp(row, "ended_at")?,
        }),
        None => None,
    };
    Ok(ReportedSchedule {
        state: ScheduleState {
            tenant,
            plugin: row::parsed(row, "plugin")?,
            name: row::parsed(row, "name")?,
            expression: row::text(row, "expression")?,
            last_due: row::timestamp(row, "last_due")?,
        },
        last,
    })
}

fn state(text: &str) -> Result<JobState, DbError> {
    let state = JobState::ALL.into_iter().find(|state| state.as_str() == text);
    state.ok_or_else(|| DbError::corrupt("state", format!("`{text}` is not the state of a job")))
}
