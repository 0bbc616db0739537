//! Writes how attempts ended, many in one transaction.

use std::collections::HashMap;

use sqlx::SqliteConnection;

use super::super::{SqliteRepository, row, unavailable};
use super::attempts::{self, Again, EndedAttempt};
use super::effects::Effects;
use super::ending::{self, End};
use super::stored::{self, Live};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClaimId, JobId};
use crate::domain::job::{Acknowledgement, AttemptOutcome, Ending, JobState};
use crate::storage::{Acknowledged, DbError};

pub(super) async fn acknowledge(
    repository: &SqliteRepository,
    ended: &[Acknowledgement],
) -> Result<Vec<Acknowledged>, DbError> {
    if ended.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = repository.begin().await?;
    let mut running = claimed(&mut transaction, ended).await?;
    let (mut results, mut finished) = (Vec::with_capacity(ended.len()), Finished::default());
    for acknowledgement in ended {
        let id = acknowledgement.job.to_string();
        // A claim that is acknowledged twice is stale the second time.
        let is_its_job = running
            .get(&acknowledgement.claim)
            .is_some_and(|job| job.id == id);
        results.push(
            match is_its_job
                .then(|| running.remove(&acknowledgement.claim))
                .flatten()
            {
                Some(job) => Acknowledged::Applied(finished.add(job, acknowledgement)),
                None => Acknowledged::Stale,
            },
        );
    }
    if finished.attempts.is_empty() {
        return Ok(results);
    }
    finished.write(&mut transaction).await?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(results)
}

pub(super) async fn extend_lease(
    repository: &SqliteRepository,
    job: JobId,
    claim: ClaimId,
    until: Timestamp,
) -> Result<bool, DbError> {
    let extended = sqlx::query(EXTEND)
        .bind(claim.0.to_string())
        .bind(job.to_string())
        .bind(until.0)
        .execute(&repository.writer)
        .await
        .map_err(unavailable)?;
    Ok(extended.rows_affected() > 0)
}

/// The jobs that run under these claims.
async fn claimed(
    connection: &mut SqliteConnection,
    ended: &[Acknowledgement],
) -> Result<HashMap<ClaimId, Live>, DbError> {
    let claims: Vec<_> = ended.iter().map(|ended| ended.claim.0).collect();
    let rows = sqlx::query(CLAIMED)
        .bind(row::to_json(&claims, "jobs.claim")?)
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
    rows.iter()
        .map(|row| Ok((stored::claim(row)?, Live::read(row)?)))
        .collect()
}

/// What becomes of jobs whose attempts ended.
#[derive(Debug, Default)]
pub(super) struct Finished {
    attempts: Vec<EndedAttempt>,
    ends: Vec<End>,
    again: Vec<Again>,
}

impl Finished {
    /// Adds an acknowledged job. Returns its new state.
    fn add(&mut self, job: Live, acknowledgement: &Acknowledgement) -> JobState {
        let at = acknowledgement.ended_at;
        let attempt = EndedAttempt {
            seq: job.seq,
            number: job.attempt,
            at,
            outcome: AttemptOutcome::Done,
            error: None,
            invocation: acknowledgement.invocation,
        };
        match &acknowledgement.ending {
            Ending::Done => {
                self.attempts.push(attempt);
                self.ends.push(End {
                    job,
                    state: JobState::Done,
                    error: None,
                    at,
                });
                JobState::Done
            }
            Ending::Dead { error } => {
                let outcome = AttemptOutcome::Dead;
                self.attempts.push(EndedAttempt {
                    outcome,
                    error: Some(error.clone()),
                    ..attempt
                });
                self.ends.push(End::dead(job, error, at));
                JobState::Dead
            }
            Ending::Cancelled => {
                let outcome = AttemptOutcome::Cancelled;
                self.attempts.push(EndedAttempt { outcome, ..attempt });
                self.ends.push(End::cancelled(job, at));
                JobState::Cancelled
            }
            Ending::Retry { at: next, error } => self.add_failed(job, attempt, *next, error, false),
            Ending::Interrupted { error } => self.add_failed(job, attempt, at, error, true),
        }
    }

    /// Adds a job whose attempt failed. `one_more` gives it another attempt if this was its last
    /// one. Returns its new state.
    fn add_failed(
        &mut self,
        mut job: Live,
        attempt: EndedAttempt,
        next: Timestamp,
        error: &str,
        one_more: bool,
    ) -> JobState {
        if one_more {
            job.max_attempts = job.max_attempts.max(job.attempt.saturating_add(1));
        }
        let state = self.fail(job, attempt.at, next, error.to_owned());
        let outcome = match state {
            JobState::Dead => AttemptOutcome::Dead,
            JobState::Cancelled => AttemptOutcome::Cancelled,
            _ => AttemptOutcome::Retry,
        };
        self.attempts.push(EndedAttempt {
            outcome,
            error: Some(error.to_owned()),
            ..attempt
        });
        state
    }

    /// Adds a job whose attempt was lost. Returns its new state.
    pub fn lose(&mut self, job: Live, now: Timestamp, next: Timestamp, error: String) -> JobState {
        self.attempts.push(EndedAttempt {
            seq: job.seq,
            number: job.attempt,
            at: now,
            outcome: AttemptOutcome::Lost,
            error: Some(error.clone()),
            invocation: None,
        });
        self.fail(job, now, next, error)
    }

    /// Adds a job whose attempt failed: it runs again if it has attempts left and nobody asked to
    /// cancel it.
    fn fail(&mut self, job: Live, now: Timestamp, next: Timestamp, error: String) -> JobState {
        if job.cancel_requested {
            let error = Some(error);
            self.ends.push(End {
                error,
                ..End::cancelled(job, now)
            });
            return JobState::Cancelled;
        }
        if job.attempt >= job.max_attempts {
            self.ends.push(End::dead(job, error, now));
            return JobState::Dead;
        }
        let again = Again {
            job,
            at: next,
            error,
            is_due: next <= now,
        };
        let state = again.state();
        self.again.push(again);
        state
    }

    /// Writes everything.
    pub async fn write(self, connection: &mut SqliteConnection) -> Result<(), DbError> {
        let mut effects = Effects::default();
        attempts::complete(connection, &self.attempts).await?;
        ending::end(connection, &self.ends, &mut effects).await?;
        attempts::run_again(connection, &self.again, &mut effects).await?;
        effects.write(connection).await
    }
}

/// The parameter is a JSON array of claims.
pub(super) const CLAIMED: &str = "SELECT jobs.* FROM json_each($1) AS claims \
    CROSS JOIN jobs ON jobs.claim = claims.value";

pub(super) const EXTEND: &str = "UPDATE jobs SET lease_until = $3 WHERE claim = $1 AND id = $2";
