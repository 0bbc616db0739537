//! Ends lost attempts after which their jobs end, because they were the last ones or somebody asked
//! to cancel the jobs.
//!
//! Such an attempt may have completed its job in a transaction before it was lost. The tenant's
//! database says so, and is asked before the job becomes a dead letter. All tenants' databases are
//! asked at once. One that does not answer delays the others by at most [`QUERY_TIMEOUT`], and is
//! asked again in the next round.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::logged_errors::{QUERY_TIMEOUT, WorkError, in_time};
use super::maintenance::{BLOCK, BLOCK_ROWS, Maintenance, example};
use crate::domain::clock::{HOUR, Timestamp};
use crate::domain::id::TenantId;
use crate::domain::job::{Acknowledgement, Ending, Job, JobState};
use crate::domain::units::as_u64;
use crate::storage::{Acknowledged, LostAttempt};

/// How long a tenant's database is asked in vain before the jobs are dead letters. A retry of a
/// dead letter asks again.
const GIVE_UP: Duration = HOUR;

/// What a tenant's database says about lost attempts.
struct Answers {
    tenant: TenantId,
    /// They completed their jobs.
    completed: Vec<LostAttempt>,
    /// They did not.
    not_completed: Vec<LostAttempt>,
    /// It did not say.
    unknown: Vec<LostAttempt>,
    /// Why it did not say.
    problem: Option<WorkError>,
}

impl Maintenance {
    /// Ends the lost attempts after which their jobs end: a job that its attempt completed is done,
    /// the others are dead letters or cancelled.
    pub(super) async fn end_lost(&self) -> Result<(), WorkError> {
        let now = self.clock.now();
        let mut unanswered: HashMap<TenantId, Timestamp> = HashMap::new();
        loop {
            let except: Vec<TenantId> = unanswered.keys().copied().collect();
            let lost = in_time(self.db.lost_last_attempts(now, &except, BLOCK)).await?;
            // Each attempt of the block is ended below, or its tenant is left out from then on.
            let is_last_block = lost.len() < BLOCK_ROWS;
            self.end_block(lost, &mut unanswered, now).await?;
            if is_last_block {
                break;
            }
        }
        // Nothing panics while the lock is held.
        *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = unanswered;
        Ok(())
    }

    async fn end_block(
        &self,
        lost: Vec<LostAttempt>,
        unanswered: &mut HashMap<TenantId, Timestamp>,
        now: Timestamp,
    ) -> Result<(), WorkError> {
        let (mut completed, mut not_completed, mut given_up) = (Vec::new(), Vec::new(), Vec::new());
        for answers in self.ask_all(lost).await {
            completed.extend(answers.completed);
            not_completed.extend(answers.not_completed);
            let Some(problem) = answers.problem else { continue };
            match self.waits_since(answers.tenant, &problem, now) {
                Some(since) => {
                    unanswered.insert(answers.tenant, since);
                }
                None => given_up.push((answers.unknown, problem.to_string())),
            }
        }
        self.acknowledge_completed(&completed, now).await?;
        let ended = in_time(self.db.end_lost_attempts(&not_completed, None, now)).await?;
        self.note_ended(&ended);
        for (lost, why) in given_up {
            let ended = in_time(self.db.end_lost_attempts(&lost, Some(why.as_str()), now)).await?;
            self.note_ended(&ended);
        }
        Ok(())
    }

    /// Asks the databases of all tenants at once.
    async fn ask_all(&self, lost: Vec<LostAttempt>) -> Vec<Answers> {
        let mut by_tenant: HashMap<TenantId, Vec<LostAttempt>> = HashMap::new();
        for attempt in lost {
            by_tenant.entry(attempt.tenant).or_default().push(attempt);
        }
        let deadline = Instant::now() + QUERY_TIMEOUT;
        let mut asked = Vec::with_capacity(by_tenant.len());
        for (tenant, lost) in by_tenant {
            asked.push(self.ask(tenant, lost, deadline));
        }
        join_all(asked).await
    }

    /// Asks a tenant's database about one attempt after the other, until it does not answer.
    async fn ask(&self, tenant: TenantId, lost: Vec<LostAttempt>, deadline: Instant) -> Answers {
        let mut answers = Answers {
            tenant,
            completed: Vec::new(),
            not_completed: Vec::new(),
            unknown: Vec::new(),
            problem: None,
        };
        for attempt in lost {
            if answers.problem.is_some() {
                answers.unknown.push(attempt);
                continue;
            }
            let asked = self.databases.is_completed(tenant, attempt.job);
            match timeout_at(deadline, asked).await {
                Ok(Ok(true)) => answers.completed.push(attempt),
                Ok(Ok(false)) => answers.not_completed.push(attempt),
                Ok(Err(error)) => {
                    answers.unknown.push(attempt);
                    answers.problem = Some(WorkError::Database(error));
                }
                Err(_) => {
                    answers.unknown.push(attempt);
                    answers.problem = Some(WorkError::TimedOut);
                }
            }
        }
        answers
    }

    /// Since when the tenant's database does not answer; `None` if it need not be asked again.
    fn waits_since(&self, tenant: TenantId, problem: &WorkError, now: Timestamp) -> Option<Timestamp> {
        // A damaged or missing file does not get better by itself.
        if self.databases.damaged().contains(&tenant) {
            return None;
        }
        let before = {
            let unanswered = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
            unanswered.get(&tenant).copied()
        };
        if before.is_none() {
            tracing::warn!(
                %tenant,
                %problem,
                "whether lost attempts completed their jobs is not known; the host asks the tenant's database \
                 again"
            );
        }
        let since = before.unwrap_or(now);
        (now.since(since) < GIVE_UP).then_some(since)
    }

    /// Writes that jobs are done.
    async fn acknowledge_completed(
        &self,
        completed: &[LostAttempt],
        now: Timestamp,
    ) -> Result<(), WorkError> {
        let done = |lost: &LostAttempt| Acknowledgement {
            job: lost.job,
            claim: lost.claim,
            ending: Ending::Done,
            ended_at: now,
            invocation: None,
        };
        let done: Vec<Acknowledgement> = completed.iter().map(done).collect();
        let mut jobs = 0_u64;
        for written in in_time(self.db.acknowledge_jobs(&done)).await? {
            // The attempt may have reported its end meanwhile.
            if matches!(written, Acknowledged::Applied(_)) {
                self.counters.acknowledged(written);
                jobs += 1;
            }
        }
        if jobs > 0 {
            tracing::info!(
                jobs,
                "jobs are done, because their attempts completed them before they were lost"
            );
            self.wake.jobs_added();
        }
        Ok(())
    }

    fn note_ended(&self, ended: &[Job]) {
        let Some(first) = ended.first() else { return };
        let dead = ended.iter().filter(|job| job.state == JobState::Dead).count();
        tracing::warn!(
            attempts = ended.len(),
            dead,
            example = example(first),
            "the last attempts of jobs were lost; the jobs are dead letters, or cancelled if that was requested"
        );
        self.counters.lost(as_u64(ended.len()));
        self.wake.jobs_added();
    }
}
