//! Claims ready jobs for a node, going round the tenants.
//!
//! Each tenant is found by one look into the index of ready jobs, so the number of waiting jobs
//! makes no difference. A tenant that has more jobs than its quota is visited again once all others
//! had their turn.

use std::time::Duration;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, row, unavailable};
use super::effects::Effects;
use super::ending::{self, End};
use super::stored::{self, Live};
use crate::domain::clock::Timestamp;
use crate::domain::id::{ClaimId, TenantId};
use crate::domain::job::{ClaimedJob, Job, JobState};
use crate::domain::units::as_u64;
use crate::storage::{ClaimPolicy, ClaimRound, DbError};

/// The most tenants that one round looks for. The limit keeps other writers from waiting long.
const TENANTS: usize = 1_000;

/// The most jobs of one round that become held.
const HELD: usize = 1_000;

/// How many jobs are read at once where some of them cannot run.
const BLOCK: u32 = 250;

/// The most attempts of a job that are kept. A job with more has been retried for long.
const ATTEMPTS_KEPT: u32 = 100;

/// The error of a job that cannot be read. The tenant's developers see it, so it names no column.
const UNREADABLE: &str = "the host cannot read this job; the operator's log names the column";

pub(super) async fn claim(
    repository: &SqliteRepository,
    node: &str,
    cursor: Option<TenantId>,
    slots: u32,
    now: Timestamp,
    policy: &dyn ClaimPolicy,
) -> Result<ClaimRound, DbError> {
    let mut transaction = repository.begin().await?;
    let mut round = Round {
        connection: &mut transaction,
        node,
        now,
        policy,
        slots,
        holds: HELD,
        claimed: Vec::new(),
        cursor,
        passed_over: false,
        more: false,
        is_changed: false,
        effects: Effects::default(),
    };
    let unfinished = round.visit_all().await?;
    round.visit_again(unfinished).await?;
    let (is_changed, claimed) = round.finish().await?;
    if is_changed {
        transaction.commit().await.map_err(unavailable)?;
    }
    Ok(claimed)
}

/// A round of claims within a transaction.
struct Round<'a> {
    connection: &'a mut SqliteConnection,
    node: &'a str,
    now: Timestamp,
    policy: &'a dyn ClaimPolicy,
    /// How many jobs may still be claimed.
    slots: u32,
    /// How many jobs may still become held.
    holds: usize,
    claimed: Vec<(i64, ClaimedJob)>,
    cursor: Option<TenantId>,
    /// Whether a tenant got nothing only because the free slots are reserved.
    passed_over: bool,
    more: bool,
    is_changed: bool,
    effects: Effects,
}

/// A tenant with ready jobs.
struct Visit {
    tenant: TenantId,
    running: u32,
}

/// A ready job that is claimed.
struct Taken {
    seq: i64,
    job: Job,
    lease: Duration,
}

impl Round<'_> {
    /// Visits each tenant with ready jobs once. Returns those that could take more.
    async fn visit_all(&mut self) -> Result<Vec<Visit>, DbError> {
        let begin = self.cursor.map_or_else(String::new, |cursor| cursor.to_string());
        let mut position = begin.clone();
        let mut wrapped = begin.is_empty();
        let (mut unfinished, mut last) = (Vec::new(), self.cursor);
        for _ in 0..TENANTS {
            if self.is_full() {
                self.more = true;
                return Ok(unfinished);
            }
            let found = sqlx::query(NEXT_TENANT)
                .bind(position.as_str())
                .fetch_optional(&mut *self.connection)
                .await
                .map_err(unavailable)?;
            let Some(found) = found else {
                if wrapped {
                    return Ok(unfinished);
                }
                wrapped = true;
                position.clear();
                continue;
            };
            let tenant = row::text(&found, "tenant")?;
            if wrapped && !begin.is_empty() && tenant > begin {
                return Ok(unfinished);
            }
            let visit = Visit {
                tenant: row::parsed(&found, "tenant")?,
                running: row::number(&found, "running")?,
            };
            position = tenant;
            last = Some(visit.tenant);
            unfinished.extend(self.visit(visit).await?);
        }
        // The next round looks at the tenants behind these.
        self.cursor = last;
        self.more = true;
        Ok(unfinished)
    }

    /// Visits tenants again until all slots are taken, or nobody takes another one.
    async fn visit_again(&mut self, mut unfinished: Vec<Visit>) -> Result<(), DbError> {
        while !unfinished.is_empty() {
            for visit in std::mem::take(&mut unfinished) {
                if self.is_full() {
                    self.more = true;
                    return Ok(());
                }
                unfinished.extend(self.visit(visit).await?);
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.slots == 0 || self.holds == 0
    }

    /// Takes jobs of a tenant. Returns the tenant if it has more jobs and could take them.
    async fn visit(&mut self, visit: Visit) -> Result<Option<Visit>, DbError> {
        let Visit { tenant, mut running } = visit;
        let mut quota = self.policy.quota(tenant, running, self.slots).min(self.slots);
        // The next round begins with the first tenant that was passed over.
        self.passed_over |= quota == 0 && self.policy.quota(tenant, running, u32::MAX) > 0;
        if quota > 0 && !self.passed_over {
            self.cursor = Some(tenant);
        }
        let mut block = quota;
        let mut has_more = true;
        while quota > 0 && has_more && self.holds > 0 {
            let rows = sqlx::query(CANDIDATES)
                .bind(tenant.to_string())
                .bind(i64::from(block))
                .fetch_all(&mut *self.connection)
                .await
                .map_err(unavailable)?;
            let (mut taken, mut held) = (Vec::new(), Vec::new());
            let mut looked = 0;
            for row in &rows {
                if quota == 0 || self.holds == 0 {
                    break;
                }
                looked += 1;
                let seq = row::integer(row, "seq")?;
                let job = match stored::live_job(row) {
                    Ok(job) => job,
                    Err(error) => {
                        self.holds -= 1;
                        self.bury(row, &error).await?;
                        continue;
                    }
                };
                match self.policy.lease(tenant, &job.new.plugin, &job.new.name) {
                    Some(lease) => {
                        quota -= 1;
                        running += 1;
                        taken.push(Taken { seq, job, lease });
                    }
                    None => {
                        self.holds -= 1;
                        held.push(seq);
                    }
                }
            }
            has_more = looked < rows.len() || u64::from(block) == as_u64(rows.len());
            self.take(taken).await?;
            self.hold(&held).await?;
            block = BLOCK;
        }
        // Without a free slot, no quota says whether the tenant could take more.
        self.more |= has_more && self.slots == 0;
        let could_take = has_more && self.policy.quota(tenant, running, self.slots) > 0;
        Ok(could_take.then_some(Visit { tenant, running }))
    }

    async fn take(&mut self, taken: Vec<Taken>) -> Result<(), DbError> {
        if taken.is_empty() {
            return Ok(());
        }
        let mut values = Vec::with_capacity(taken.len());
        for Taken { seq, mut job, lease } in taken {
            let claim = ClaimId::generate();
            let until = self.now.saturating_add(lease);
            values.push((seq, claim.0, until.0));
            job.state = JobState::Running;
            job.attempt = job.attempt.saturating_add(1);
            job.lease_until = Some(until);
            self.slots -= 1;
            self.claimed.push((seq, ClaimedJob { job, claim }));
        }
        sqlx::query(TAKE)
            .bind(row::to_json(&values, "jobs.claim")?)
            .bind(self.node)
            .execute(&mut *self.connection)
            .await
            .map_err(unavailable)?;
        self.is_changed = true;
        Ok(())
    }

    async fn hold(&mut self, seqs: &[i64]) -> Result<(), DbError> {
        if seqs.is_empty() {
            return Ok(());
        }
        ending::run(self.connection, HOLD, seqs).await?;
        ending::run(self.connection, NOTE_HELD, seqs).await?;
        self.is_changed = true;
        Ok(())
    }

    /// Makes a job that cannot be read a dead letter, so that it does not stop the jobs behind it.
    async fn bury(&mut self, row: &SqliteRow, error: &DbError) -> Result<(), DbError> {
        let live = Live::read(row)?;
        tracing::error!(job = %live.id, tenant = %live.tenant, %error,
            "a job cannot be read, so it becomes a dead letter");
        let end = End::dead(live, UNREADABLE.to_owned(), self.now);
        ending::end(self.connection, &[end], &mut self.effects).await?;
        self.is_changed = true;
        Ok(())
    }

    /// Adds the attempts and the payloads of the claimed jobs, and writes the effects.
    async fn finish(mut self) -> Result<(bool, ClaimRound), DbError> {
        let mut claimed = Vec::with_capacity(self.claimed.len());
        if !self.claimed.is_empty() {
            let seqs: Vec<i64> = self.claimed.iter().map(|(seq, _)| *seq).collect();
            sqlx::query(ADD_ATTEMPTS)
                .bind(row::to_json(&seqs, "jobs.seq")?)
                .bind(self.node)
                .bind(self.now.0)
                .execute(&mut *self.connection)
                .await
                .map_err(unavailable)?;
            let old: Vec<i64> = self
                .claimed
                .iter()
                .filter(|(_, claimed)| claimed.job.attempt > ATTEMPTS_KEPT)
                .map(|(seq, _)| *seq)
                .collect();
            if !old.is_empty() {
                sqlx::query(FORGET_ATTEMPTS)
                    .bind(row::to_json(&old, "jobs.seq")?)
                    .bind(i64::from(ATTEMPTS_KEPT))
                    .execute(&mut *self.connection)
                    .await
                    .map_err(unavailable)?;
            }
            let mut payloads = stored::payloads(self.connection, &seqs).await?;
            for (seq, mut job) in std::mem::take(&mut self.claimed) {
                // Each job has a payload. If a damaged database lost it, the attempt is given up
                // when its lease ends.
                match payloads.remove(&seq) {
                    Some(payload) => {
                        job.job.new.payload = payload.into();
                        claimed.push(job);
                    }
                    None => tracing::error!(
                        job = %job.job.new.id,
                        tenant = %job.job.new.tenant,
                        "the payload of a job is missing, so the attempt is lost when its lease ends; \
                         restore mortise.db from a backup"
                    ),
                }
            }
        }
        self.effects.write(self.connection).await?;
        let round = ClaimRound {
            claimed,
            cursor: self.cursor,
            more: self.more,
        };
        Ok((self.is_changed, round))
    }
}

/// The next tenant after the cursor that has ready jobs, and how many of its jobs run.
pub(super) const NEXT_TENANT: &str = "SELECT tenant, \
    (SELECT COUNT(*) FROM jobs AS other WHERE other.state = 'running' AND other.tenant = jobs.tenant) AS running \
    FROM jobs WHERE state = 'ready' AND tenant > $1 ORDER BY tenant LIMIT 1";

pub(super) const CANDIDATES: &str = "SELECT * FROM jobs WHERE state = 'ready' AND tenant = $1 \
    ORDER BY priority, run_at, seq LIMIT $2";

/// The parameter is a JSON array of `[seq, claim, lease_until]`.
pub(super) const TAKE: &str = "UPDATE jobs SET state = 'running', attempt = attempt + 1, claim = taken.value ->> 1, \
    lease_until = taken.value ->> 2, node = $2 FROM json_each($1) AS taken WHERE jobs.seq = taken.value ->> 0";

/// A held job still occupies its concurrency key: the jobs behind it cannot run either.
pub(super) const HOLD: &str = "UPDATE jobs SET state = 'held' WHERE seq IN (SELECT value FROM json_each($1))";

pub(super) const NOTE_HELD: &str = "INSERT INTO held_jobs (tenant, plugin, name) \
    SELECT DISTINCT tenant, plugin, name FROM jobs WHERE seq IN (SELECT value FROM json_each($1)) \
    ON CONFLICT DO NOTHING";

pub(super) const ADD_ATTEMPTS: &str = "INSERT INTO job_attempts (seq, number, node, started_at) \
    SELECT seq, attempt, $2, $3 FROM jobs WHERE seq IN (SELECT value FROM json_each($1))";

pub(super) const FORGET_ATTEMPTS: &str = "DELETE FROM job_attempts \
    WHERE seq IN (SELECT value FROM json_each($1)) \
    AND number <= (SELECT attempt FROM jobs WHERE jobs.seq = job_attempts.seq) - $2";
