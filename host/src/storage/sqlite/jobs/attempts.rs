//! The ends of attempts: their rows, and the jobs that run again.

use sqlx::SqliteConnection;

use super::super::{row, unavailable};
use super::effects::Effects;
use super::stored::{Live, outcome_text};
use crate::domain::clock::Timestamp;
use crate::domain::id::InvocationId;
use crate::domain::job::{AttemptOutcome, JobState};
use crate::storage::DbError;

/// The end of an attempt.
#[derive(Debug)]
pub(super) struct EndedAttempt {
    pub seq: i64,
    pub number: u32,
    pub at: Timestamp,
    pub outcome: AttemptOutcome,
    pub error: Option<String>,
    pub invocation: Option<InvocationId>,
}

/// A job whose attempt failed and that runs again.
#[derive(Debug)]
pub(super) struct Again {
    pub job: Live,
    pub at: Timestamp,
    pub error: String,
    /// Whether it is due at once.
    pub is_due: bool,
}

impl Again {
    /// The state of the job until it runs again. A job that is due at once keeps its place among
    /// the jobs of its concurrency key.
    pub fn state(&self) -> JobState {
        match self.is_due {
            true => JobState::Ready,
            false => JobState::Scheduled,
        }
    }

    /// Whether the job still occupies its concurrency key. A failed job of an ordered key holds
    /// back the later ones.
    fn occupies(&self) -> bool {
        self.job.occupies && (self.is_due || self.job.is_ordered)
    }
}

/// Completes the rows of attempts.
pub(super) async fn complete(
    connection: &mut SqliteConnection,
    attempts: &[EndedAttempt],
) -> Result<(), DbError> {
    if attempts.is_empty() {
        return Ok(());
    }
    let values: Vec<_> = attempts
        .iter()
        .map(|attempt| {
            let outcome = outcome_text(attempt.outcome);
            let error = attempt.error.as_deref();
            (
                attempt.seq,
                attempt.number,
                attempt.at.0,
                outcome,
                error,
                attempt.invocation,
            )
        })
        .collect();
    sqlx::query(COMPLETE)
        .bind(row::to_json(&values, "job_attempts.seq")?)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// Schedules jobs for their next attempt.
pub(super) async fn run_again(
    connection: &mut SqliteConnection,
    jobs: &[Again],
    effects: &mut Effects,
) -> Result<(), DbError> {
    if jobs.is_empty() {
        return Ok(());
    }
    let mut values = Vec::with_capacity(jobs.len());
    for again in jobs {
        let state = again.state();
        let occupies = again.occupies();
        values.push((
            again.job.seq,
            state.as_str(),
            again.at.0,
            &again.error,
            i32::from(occupies),
            again.job.max_attempts,
        ));
        if state == JobState::Scheduled {
            effects.scheduled(&again.job.tenant, again.at);
        }
        if !occupies {
            effects.released(&again.job);
        }
    }
    sqlx::query(RUN_AGAIN)
        .bind(row::to_json(&values, "jobs.seq")?)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

/// The parameter is a JSON array of `[seq, number, ended_at, outcome, error, invocation]`.
pub(super) const COMPLETE: &str = "UPDATE job_attempts SET ended_at = attempt.value ->> 2, \
    outcome = attempt.value ->> 3, error = attempt.value ->> 4, invocation = attempt.value ->> 5 \
    FROM json_each($1) AS attempt \
    WHERE job_attempts.seq = attempt.value ->> 0 AND job_attempts.number = attempt.value ->> 1";

/// The parameter is a JSON array of `[seq, state, run_at, error, occupies, max_attempts]`.
pub(super) const RUN_AGAIN: &str = "UPDATE jobs SET state = again.value ->> 1, run_at = again.value ->> 2, \
    error = again.value ->> 3, occupies = again.value ->> 4, max_attempts = again.value ->> 5, \
    claim = NULL, node = NULL, lease_until = NULL, cancel_requested = 0 \
    FROM json_each($1) AS again WHERE jobs.seq = again.value ->> 0";
