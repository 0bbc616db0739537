//! How jobs leave the table of live jobs, and how ended ones leave the database.

use sqlx::{SqliteConnection, sqlite::SqliteRow};

use super::super::{row, unavailable};
use super::effects::Effects;
use super::stored::{self, Live, common_columns};
use crate::domain::clock::Timestamp;
use crate::domain::job::JobState;
use crate::storage::DbError;

/// A live job that ends.
#[derive(Debug)]
pub(super) struct End {
    pub job: Live,
    /// Done, dead or cancelled.
    pub state: JobState,
    /// Why the last attempt failed.
    pub error: Option<String>,
    pub at: Timestamp,
}

impl End {
    /// A job that ends as a dead letter.
    pub fn dead(job: Live, error: impl Into<String>, at: Timestamp) -> Self {
        Self {
            job,
            state: JobState::Dead,
            error: Some(error.into()),
            at,
        }
    }

    /// A job that somebody cancelled. It keeps the error of its last attempt.
    pub fn cancelled(job: Live, at: Timestamp) -> Self {
        Self {
            error: job.error.clone(),
            job,
            state: JobState::Cancelled,
            at,
        }
    }
}

/// Moves jobs to the ended ones.
pub(super) async fn end(
    connection: &mut SqliteConnection,
    ends: &[End],
    effects: &mut Effects,
) -> Result<(), DbError> {
    if ends.is_empty() {
        return Ok(());
    }
    let moved: Vec<_> = ends
        .iter()
        .map(|end| (end.job.seq, end.state.as_str(), end.error.as_deref(), end.at.0))
        .collect();
    sqlx::query(MOVE)
        .bind(row::to_json(&moved, "jobs.seq")?)
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    let seqs: Vec<i64> = ends.iter().map(|end| end.job.seq).collect();
    run(connection, DELETE_LIVE, &seqs).await?;
    for end in ends {
        effects.removed(&end.job);
        effects.kept(&end.job.tenant, end.state, 1);
    }
    Ok(())
}

/// Deletes live jobs, which must not run.
pub(super) async fn delete_live(
    connection: &mut SqliteConnection,
    jobs: &[Live],
    effects: &mut Effects,
) -> Result<(), DbError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let seqs: Vec<i64> = jobs.iter().map(|job| job.seq).collect();
    run(connection, DELETE_LIVE, &seqs).await?;
    run(connection, DELETE_PAYLOADS, &seqs).await?;
    run(connection, DELETE_ATTEMPTS, &seqs).await?;
    jobs.iter().for_each(|job| effects.removed(job));
    Ok(())
}

/// Deletes ended jobs: rows with `seq`, `tenant` and `state`.
pub(super) async fn delete_ended(
    connection: &mut SqliteConnection,
    rows: &[SqliteRow],
    effects: &mut Effects,
) -> Result<(), DbError> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut seqs = Vec::new();
    for row in rows {
        seqs.push(row::integer(row, "seq")?);
        effects.kept(&row::text(row, "tenant")?, stored::state(row)?, -1);
    }
    run(connection, DELETE_ENDED, &seqs).await?;
    run(connection, DELETE_PAYLOADS, &seqs).await?;
    run(connection, DELETE_ATTEMPTS, &seqs).await
}

/// Runs a statement whose only parameter is the list of jobs.
pub(super) async fn run(
    connection: &mut SqliteConnection,
    statement: &'static str,
    seqs: &[i64],
) -> Result<(), DbError> {
    sqlx::query(statement)
        .bind(row::to_json(&seqs, "jobs.seq")?)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// The parameter is a JSON array of `[seq, state, error, ended_at]`. `CROSS JOIN` makes SQLite look
/// up each job of the array.
pub(super) const MOVE: &str = concat!(
    "INSERT INTO jobs_ended (",
    common_columns!(),
    ", state, ended_at) SELECT j.seq, tenant, j.id, plugin, name, origin, priority, run_at, max_attempts, attempts_each, \
     backoff, unique_key, concurrency_key, concurrency_limit, concurrency_ordered, depth, traceparent, created_at, \
     attempt, e.value ->> 2, e.value ->> 1, e.value ->> 3 \
     FROM json_each($1) AS e CROSS JOIN jobs AS j ON j.seq = e.value ->> 0"
);

pub(super) const DELETE_LIVE: &str = "DELETE FROM jobs WHERE seq IN (SELECT value FROM json_each($1))";

pub(super) const DELETE_ENDED: &str = "DELETE FROM jobs_ended WHERE seq IN (SELECT value FROM json_each($1))";

pub(super) const DELETE_PAYLOADS: &str =
    "DELETE FROM job_payloads WHERE seq IN (SELECT value FROM json_each($1))";

pub(super) const DELETE_ATTEMPTS: &str =
    "DELETE FROM job_attempts WHERE seq IN (SELECT value FROM json_each($1))";
