//! Adds jobs to the queue.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::super::{ROWS, SqliteRepository, row, tenants, unavailable};
use super::effects::Effects;
use super::stored::Key;
use crate::domain::audit::Change;
use crate::domain::id::{JobId, TenantId};
use crate::domain::job::{JobState, NewJob};
use crate::storage::{Added, DbError};

/// Adds a job that somebody asked for, with its audit entry.
pub(super) async fn add_with_change(
    repository: &SqliteRepository,
    job: &NewJob,
    change: &Change,
) -> Result<Added, DbError> {
    let mut transaction = repository.begin().await?;
    let mut effects = Effects::default();
    let added = insert_some(&mut transaction, &[job], &mut effects).await?.pop();
    match added {
        Some(added @ Added::New(_)) => {
            effects.write(&mut transaction).await?;
            repository
                .commit_without_generation(transaction, Some(job.tenant), change)
                .await?;
            Ok(added)
        }
        other => Ok(other.unwrap_or(Added::Exists(job.id))),
    }
}

/// Adds jobs within a transaction. The results are in the order of the jobs.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    jobs: &[&NewJob],
    effects: &mut Effects,
) -> Result<Vec<Added>, DbError> {
    let mut added = Vec::with_capacity(jobs.len());
    for some in jobs.chunks(ROWS) {
        added.extend(insert_some(connection, some, effects).await?);
    }
    Ok(added)
}

/// Adds jobs within a transaction that stores more than them, and counts them. The results are in
/// the order of the jobs. Call it once, and then commit.
pub(in super::super) async fn insert_in(
    connection: &mut SqliteConnection,
    jobs: &[&NewJob],
) -> Result<Vec<Added>, DbError> {
    let mut effects = Effects::default();
    let added = insert(connection, jobs, &mut effects).await?;
    effects.write(connection).await?;
    Ok(added)
}

async fn insert_some(
    connection: &mut SqliteConnection,
    jobs: &[&NewJob],
    effects: &mut Effects,
) -> Result<Vec<Added>, DbError> {
    let wanted: BTreeSet<TenantId> = jobs.iter().map(|job| job.tenant).collect();
    let existing = match wanted.is_empty() {
        true => wanted,
        false => tenants::existing(connection, wanted).await?,
    };
    let ended = ended(connection, jobs).await?;
    // A job of a purged tenant is dropped, as if it had been added just before the purge. A job
    // that ended before was added by an earlier call, whose answer was lost.
    let to_add: Vec<&NewJob> = jobs
        .iter()
        .filter(|job| existing.contains(&job.tenant) && !ended.contains(&(job.tenant, job.id)))
        .copied()
        .collect();
    let numbers = insert_rows(connection, &to_add).await?;
    insert_payloads(connection, &to_add, &numbers).await?;
    let mut added = Vec::with_capacity(jobs.len());
    let mut counted = HashSet::new();
    for job in jobs {
        let identity = (job.tenant, job.id);
        added.push(match numbers.contains_key(&identity) {
            // The same job twice in one call is added once.
            true if counted.insert(identity) => {
                count(job, effects);
                Added::New(job.id)
            }
            true => Added::Exists(job.id),
            false if !existing.contains(&job.tenant) => Added::New(job.id),
            false => Added::Exists(other(connection, job).await?.unwrap_or(job.id)),
        });
    }
    Ok(added)
}

/// The state of a job that is added now.
fn first_state(job: &NewJob) -> JobState {
    match &job.concurrency {
        _ if job.run_at > job.created_at => JobState::Scheduled,
        // Settling its key makes it ready, if there is room.
        Some(_) => JobState::Blocked,
        None => JobState::Ready,
    }
}

fn count(job: &NewJob, effects: &mut Effects) {
    let tenant = job.tenant.to_string();
    effects.added(&tenant);
    match (first_state(job), &job.concurrency) {
        (JobState::Scheduled, _) => effects.scheduled(&tenant, job.run_at),
        (_, Some(concurrency)) => effects.blocked(Key {
            tenant,
            plugin: job.plugin.to_string(),
            name: job.name.to_string(),
            key: concurrency.key.clone(),
        }),
        (_, None) => {}
    }
}

/// Inserts rows, except for jobs whose id or unique key a live job has. Returns the numbers of the
/// inserted ones.
async fn insert_rows(
    connection: &mut SqliteConnection,
    jobs: &[&NewJob],
) -> Result<HashMap<(TenantId, JobId), i64>, DbError> {
    if jobs.is_empty() {
        return Ok(HashMap::new());
    }
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO jobs (tenant, id, plugin, name, origin, priority, run_at, max_attempts, attempts_each, backoff, \
         unique_key, concurrency_key, concurrency_limit, concurrency_ordered, depth, traceparent, created_at, attempt, \
         state) ",
    );
    let mut texts = Vec::with_capacity(jobs.len());
    for job in jobs {
        texts.push((
            row::to_json(&job.origin, "jobs.origin")?,
            row::to_json(&job.backoff, "jobs.backoff")?,
        ));
    }
    query.push_values(jobs.iter().zip(texts), |mut values, (job, (origin, backoff))| {
        let bound = job.concurrency.as_ref().map(|concurrency| concurrency.bound);
        values
            .push_bind(job.tenant.to_string())
            .push_bind(job.id.to_string())
            .push_bind(job.plugin.as_str())
            .push_bind(job.name.as_str())
            .push_bind(origin)
            .push_bind(i64::from(job.priority))
            .push_bind(job.run_at.0)
            .push_bind(i64::from(job.max_attempts))
            .push_bind(i64::from(job.max_attempts))
            .push_bind(backoff)
            .push_bind(job.unique_key.as_deref())
            .push_bind(
                job.concurrency
                    .as_ref()
                    .map(|concurrency| concurrency.key.as_str()),
            )
            .push_bind(bound.map(|bound| i64::from(bound.limit.get())))
            .push_bind(bound.map(|bound| i64::from(bound.ordered)))
            .push_bind(i64::from(job.depth))
            .push_bind(job.traceparent.as_deref())
            .push_bind(job.created_at.0)
            .push_bind(0_i64)
            .push_bind(first_state(job).as_str());
    });
    query.push(" ON CONFLICT DO NOTHING RETURNING seq, tenant, id");
    // Statements with several rows differ in their number of rows, so they are not cached.
    let query = query.build().persistent(jobs.len() == 1);
    let rows = query.fetch_all(connection).await.map_err(unavailable)?;
    let mut numbers = HashMap::with_capacity(rows.len());
    for row in &rows {
        let identity = (row::parsed(row, "tenant")?, row::parsed(row, "id")?);
        numbers.insert(identity, row::integer(row, "seq")?);
    }
    Ok(numbers)
}

async fn insert_payloads(
    connection: &mut SqliteConnection,
    jobs: &[&NewJob],
    numbers: &HashMap<(TenantId, JobId), i64>,
) -> Result<(), DbError> {
    let mut payloads: HashMap<i64, &str> = HashMap::new();
    for job in jobs {
        if let Some(seq) = numbers.get(&(job.tenant, job.id)) {
            payloads.entry(*seq).or_insert(&job.payload);
        }
    }
    if payloads.is_empty() {
        return Ok(());
    }
    let single = payloads.len() == 1;
    let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO job_payloads (seq, payload) ");
    query.push_values(payloads, |mut values, (seq, payload)| {
        values.push_bind(seq).push_bind(payload);
    });
    let query = query.build().persistent(single);
    query.execute(connection).await.map_err(unavailable)?;
    Ok(())
}

/// Those of the jobs that ended before.
async fn ended(
    connection: &mut SqliteConnection,
    jobs: &[&NewJob],
) -> Result<HashSet<(TenantId, JobId)>, DbError> {
    let identities: Vec<_> = jobs.iter().map(|job| (job.tenant, job.id)).collect();
    let rows = sqlx::query(ENDED)
        .bind(row::to_json(&identities, "jobs.id")?)
        .fetch_all(connection)
        .await
        .map_err(unavailable)?;
    rows.iter()
        .map(|row| Ok((row::parsed(row, "tenant")?, row::parsed(row, "id")?)))
        .collect()
}

/// The live job that has the id or the unique key of a job.
async fn other(connection: &mut SqliteConnection, job: &NewJob) -> Result<Option<JobId>, DbError> {
    let same = sqlx::query(SAME_ID)
        .bind(job.tenant.to_string())
        .bind(job.id.to_string())
        .fetch_optional(&mut *connection)
        .await
        .map_err(unavailable)?;
    if same.is_some() {
        return Ok(Some(job.id));
    }
    let Some(key) = &job.unique_key else {
        return Ok(None);
    };
    with_unique_key(
        connection,
        &job.tenant.to_string(),
        job.plugin.as_str(),
        job.name.as_str(),
        key,
    )
    .await
}

/// The live job with a unique key.
pub(super) async fn with_unique_key(
    connection: &mut SqliteConnection,
    tenant: &str,
    plugin: &str,
    name: &str,
    key: &str,
) -> Result<Option<JobId>, DbError> {
    let row = sqlx::query(SAME_UNIQUE_KEY)
        .bind(tenant)
        .bind(plugin)
        .bind(name)
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    row.map(|row| row::parsed(&row, "id")).transpose()
}

pub(super) const ENDED: &str = "SELECT e.tenant, e.id FROM json_each($1) AS job \
    CROSS JOIN jobs_ended AS e ON e.tenant = job.value ->> 0 AND e.id = job.value ->> 1";

pub(super) const SAME_ID: &str = "SELECT id FROM jobs WHERE tenant = $1 AND id = $2";

pub(super) const SAME_UNIQUE_KEY: &str =
    "SELECT id FROM jobs WHERE tenant = $1 AND plugin = $2 AND name = $3 AND unique_key = $4";
