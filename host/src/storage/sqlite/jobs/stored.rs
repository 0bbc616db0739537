//! Rows of jobs, read as the types of the queue.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::{row, unavailable};
use crate::domain::id::{ClaimId, PluginName};
use crate::domain::job::{
    Attempt, AttemptOutcome, Backoff, Concurrency, ConcurrencyKey, Job, JobState, NewJob,
};
use crate::storage::DbError;

/// The columns that live and ended jobs have in common, without the state.
macro_rules! common_columns {
    () => {
        "seq, tenant, id, plugin, name, origin, priority, run_at, max_attempts, attempts_each, backoff, unique_key, \
         concurrency_key, concurrency_limit, concurrency_ordered, depth, traceparent, created_at, attempt, error"
    };
}
pub(super) use common_columns;

/// What the queue needs to know of a live job to change it.
#[derive(Clone, Debug)]
pub(super) struct Live {
    pub seq: i64,
    pub tenant: String,
    pub id: String,
    pub plugin: String,
    pub name: String,
    pub state: JobState,
    pub attempt: u32,
    pub max_attempts: u32,
    pub concurrency_key: Option<String>,
    pub is_ordered: bool,
    /// Whether `job_keys` counts the job for its concurrency key.
    pub occupies: bool,
    pub cancel_requested: bool,
    pub error: Option<String>,
}

/// A concurrency key of a kind of job.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub tenant: String,
    pub plugin: String,
    pub name: String,
    pub key: String,
}

impl Live {
    /// Reads a row of `jobs`.
    pub fn read(row: &SqliteRow) -> Result<Self, DbError> {
        Ok(Self {
            seq: row::integer(row, "seq")?,
            tenant: row::text(row, "tenant")?,
            id: row::text(row, "id")?,
            plugin: row::text(row, "plugin")?,
            name: row::text(row, "name")?,
            state: state(row)?,
            attempt: row::number(row, "attempt")?,
            max_attempts: row::number(row, "max_attempts")?,
            concurrency_key: row::optional_text(row, "concurrency_key")?,
            is_ordered: row::optional_integer(row, "concurrency_ordered")? == Some(1),
            occupies: row::flag(row, "occupies")?,
            cancel_requested: row::flag(row, "cancel_requested")?,
            error: row::optional_text(row, "error")?,
        })
    }

    /// The concurrency key of the job.
    pub fn key(&self) -> Option<Key> {
        self.concurrency_key.as_ref().map(|key| Key {
            tenant: self.tenant.clone(),
            plugin: self.plugin.clone(),
            name: self.name.clone(),
            key: key.clone(),
        })
    }
}

/// Reads a row of `jobs`. The payload is left empty.
pub(super) fn live_job(row: &SqliteRow) -> Result<Job, DbError> {
    Ok(Job {
        new: new_job(row)?,
        state: state(row)?,
        attempt: row::number(row, "attempt")?,
        lease_until: row::optional_timestamp(row, "lease_until")?,
        cancel_requested: row::flag(row, "cancel_requested")?,
        ended_at: None,
        error: row::optional_text(row, "error")?,
    })
}

/// Reads a row of `jobs_ended`. The payload is left empty.
pub(super) fn ended_job(row: &SqliteRow) -> Result<Job, DbError> {
    Ok(Job {
        new: new_job(row)?,
        state: state(row)?,
        attempt: row::number(row, "attempt")?,
        lease_until: None,
        cancel_requested: false,
        ended_at: Some(row::timestamp(row, "ended_at")?),
        error: row::optional_text(row, "error")?,
    })
}

fn new_job(row: &SqliteRow) -> Result<NewJob, DbError> {
    Ok(NewJob {
        id: row::parsed(row, "id")?,
        tenant: row::parsed(row, "tenant")?,
        plugin: plugin(row)?,
        name: row::parsed(row, "name")?,
        payload: Arc::default(),
        origin: row::json(row, "origin")?,
        priority: row::number(row, "priority")?,
        run_at: row::timestamp(row, "run_at")?,
        max_attempts: row::number(row, "max_attempts")?,
        backoff: backoff(row)?,
        unique_key: row::optional_text(row, "unique_key")?,
        concurrency: concurrency(row)?,
        depth: row::number(row, "depth")?,
        traceparent: row::optional_text(row, "traceparent")?,
        created_at: row::timestamp(row, "created_at")?,
    })
}

/// Who runs a job: a plugin, or the host.
pub(in super::super) fn plugin(row: &SqliteRow) -> Result<PluginName, DbError> {
    PluginName::of_job(&row::text(row, "plugin")?).map_err(|error| DbError::corrupt("jobs.plugin", error))
}

fn concurrency(row: &SqliteRow) -> Result<Option<ConcurrencyKey>, DbError> {
    let Some(key) = row::optional_text(row, "concurrency_key")? else {
        return Ok(None);
    };
    let limit: u32 = row::number(row, "concurrency_limit")?;
    let limit = limit.try_into();
    Ok(Some(ConcurrencyKey {
        key,
        bound: Concurrency {
            limit: limit.map_err(|_| DbError::corrupt("concurrency_limit", "it is zero"))?,
            ordered: row::flag(row, "concurrency_ordered")?,
        },
    }))
}

pub(super) fn backoff(row: &SqliteRow) -> Result<Backoff, DbError> {
    row::json(row, "backoff")
}

pub(super) fn state(row: &SqliteRow) -> Result<JobState, DbError> {
    let text = row::text(row, "state")?;
    let found = JobState::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| DbError::corrupt("jobs.state", text))
}

/// Reads a row of `job_attempts`.
pub(super) fn attempt(row: &SqliteRow) -> Result<Attempt, DbError> {
    let outcome = match row::optional_text(row, "outcome")? {
        None => None,
        Some(text) => {
            let found = OUTCOMES
                .into_iter()
                .find(|outcome| outcome_text(*outcome) == text);
            Some(found.ok_or_else(|| DbError::corrupt("job_attempts.outcome", text))?)
        }
    };
    Ok(Attempt {
        number: row::number(row, "number")?,
        node: row::text(row, "node")?,
        started_at: row::timestamp(row, "started_at")?,
        ended_at: row::optional_timestamp(row, "ended_at")?,
        outcome,
        error: row::optional_text(row, "error")?,
        invocation: row::optional_parsed(row, "invocation")?,
    })
}

const OUTCOMES: [AttemptOutcome; 5] = [
    AttemptOutcome::Done,
    AttemptOutcome::Retry,
    AttemptOutcome::Dead,
    AttemptOutcome::Cancelled,
    AttemptOutcome::Lost,
];

/// The outcome as it is stored.
pub(super) fn outcome_text(outcome: AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Done => "done",
        AttemptOutcome::Retry => "retry",
        AttemptOutcome::Dead => "dead",
        AttemptOutcome::Cancelled => "cancelled",
        AttemptOutcome::Lost => "lost",
    }
}

/// Reads a claim. A claim is a random UUID.
pub(super) fn claim(row: &SqliteRow) -> Result<ClaimId, DbError> {
    let text = row::text(row, "claim")?;
    Uuid::parse_str(&text)
        .map(ClaimId)
        .map_err(|error| DbError::corrupt("jobs.claim", error))
}

/// The wait of a job whose attempt was lost. The random part comes from the claim, which is random.
pub(super) fn wait_after_loss(row: &SqliteRow, attempt: u32) -> Duration {
    // A row that cannot be read waits like most jobs.
    let backoff = backoff(row).unwrap_or_default();
    let random = claim(row).map_or(0.0, |claim| {
        // The low half of a random UUID is random but for its first bits.
        let [.., a, b, c, d] = claim.0.into_bytes();
        f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
    });
    backoff.wait(attempt, random)
}

/// The payloads of jobs by their `seq`.
pub(super) async fn payloads(
    connection: &mut SqliteConnection,
    seqs: &[i64],
) -> Result<HashMap<i64, String>, DbError> {
    let rows = sqlx::query(PAYLOADS)
        .bind(row::to_json(&seqs, "jobs.seq")?)
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
    let read = |row: &SqliteRow| Ok((row::integer(row, "seq")?, row::text(row, "payload")?));
    rows.iter().map(read).collect()
}

pub(super) const PAYLOADS: &str =
    "SELECT seq, payload FROM job_payloads WHERE seq IN (SELECT value FROM json_each($1))";
