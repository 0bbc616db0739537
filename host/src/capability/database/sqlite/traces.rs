//! What jobs leave in the tenant's database, and its removal after they are done or deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::error::DatabaseError;
use super::SqliteDatabases;
use super::host_work::{has_table, in_transaction};
use super::pool::Role;
use super::run::broken_or;
use crate::domain::clock::{HOUR, Timestamp};
use crate::domain::id::{JobId, TenantId};

/// How long a job that is done stays marked as completed. It is longer than any attempt may take,
/// so that an attempt that was believed lost still finds the mark. A job that can be retried keeps
/// its mark.
const COMPLETED_FOR: Duration = HOUR;

impl SqliteDatabases {
    /// See [`DatabaseEngine::job_traces`](super::super::engine::DatabaseEngine::job_traces).
    pub(super) async fn traces(
        &self,
        id: TenantId,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<JobId>, DatabaseError> {
        if !self.has_file(id)? {
            return Ok(Vec::new());
        }
        let (tenant, before) = (self.tenant(id), self.completed_before());
        let look = self.host_work(&tenant, Role::Reader, move |connection| {
            let result = connection.as_host(|raw| list(raw, after, limit, before));
            result.map_err(|error| broken_or(connection, error.into()))
        });
        look.await
    }

    /// Removes what jobs left, except that they were completed after `before`.
    pub(super) async fn remove_traces(
        &self,
        id: TenantId,
        jobs: Vec<JobId>,
        before: Timestamp,
    ) -> Result<(), DatabaseError> {
        if jobs.is_empty() || !self.has_file(id)? {
            return Ok(());
        }
        let tenant = self.tenant(id);
        let removed = self.host_work(&tenant, Role::Writer, move |connection| {
            in_transaction(connection, |raw| remove(raw, &jobs, before))
        });
        removed.await
    }

    /// The time before which nothing needs to know any more that a job was completed.
    pub(super) fn completed_before(&self) -> Timestamp {
        self.clock.now().saturating_sub(COMPLETED_FOR)
    }
}

fn list(
    raw: &rusqlite::Connection,
    after: Option<JobId>,
    limit: u32,
    before: Timestamp,
) -> rusqlite::Result<Vec<JobId>> {
    let after = after.map(|after| after.to_string()).unwrap_or_default();
    let mut jobs = BTreeSet::new();
    let mut add = |sql: &str, params: &[&dyn rusqlite::ToSql]| -> rusqlite::Result<()> {
        let mut statement = raw.prepare(sql)?;
        let mut rows = statement.query(params)?;
        while let Some(row) = rows.next()? {
            let text: String = row.get(0)?;
            // The host writes these texts, so each is an id.
            jobs.extend(text.parse::<JobId>().ok());
        }
        Ok(())
    };
    if has_table(raw, "_mortise_completed")? {
        add(
            "SELECT job FROM _mortise_completed WHERE job > ?1 AND at <= ?3 ORDER BY job LIMIT ?2",
            &[&after, &limit, &before.0],
        )?;
    }
    if has_table(raw, "_mortise_steps")? {
        add(
            "SELECT DISTINCT job FROM _mortise_steps WHERE job > ?1 ORDER BY job LIMIT ?2",
            &[&after, &limit],
        )?;
    }
    Ok(jobs
        .into_iter()
        .take(usize::try_from(limit).unwrap_or(usize::MAX))
        .collect())
}

fn remove(raw: &rusqlite::Connection, jobs: &[JobId], before: Timestamp) -> rusqlite::Result<()> {
    if has_table(raw, "_mortise_steps")? {
        let mut statement = raw.prepare("DELETE FROM _mortise_steps WHERE job = ?1")?;
        for job in jobs {
            statement.execute([job.to_string()])?;
        }
    }
    if has_table(raw, "_mortise_completed")? {
        let mut statement = raw.prepare("DELETE FROM _mortise_completed WHERE job = ?1 AND at <= ?2")?;
        for job in jobs {
            statement.execute((job.to_string(), before.0))?;
        }
    }
    Ok(())
}
