//! What a change of jobs does to the counters of tenants and concurrency keys.
//!
//! A change first collects its effects, and writes them at the end of its transaction. A key that
//! became free for several jobs is then looked at once.

use std::collections::BTreeMap;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::super::{ROWS, unavailable};
use super::keys;
use super::stored::{Key, Live};
use crate::domain::clock::Timestamp;
use crate::domain::job::JobState;
use crate::storage::DbError;

/// The effects of a change that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Effects {
    counts: BTreeMap<String, CountChange>,
    keys: BTreeMap<Key, KeyChange>,
}

/// A change of the counters of a tenant.
#[derive(Clone, Copy, Debug, Default)]
struct CountChange {
    live: i64,
    done: i64,
    dead: i64,
    /// The earliest time of the jobs that became scheduled.
    next_due: Option<Timestamp>,
}

/// A change of the jobs of a concurrency key.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyChange {
    /// How many jobs do not occupy the key any more.
    pub released: u32,
    /// How many jobs became blocked. They wait only if the key is full.
    pub blocked: u32,
}

impl Effects {
    /// A job was added, or an ended one is live again.
    pub fn added(&mut self, tenant: &str) {
        self.of(tenant).live += 1;
    }

    /// A live job is gone.
    pub fn removed(&mut self, job: &Live) {
        self.of(&job.tenant).live -= 1;
        self.released(job);
    }

    /// An ended job is kept, or `-1`: one is kept no more.
    pub fn kept(&mut self, tenant: &str, state: JobState, by: i64) {
        let counts = self.of(tenant);
        match state {
            JobState::Dead => counts.dead += by,
            _ => counts.done += by,
        }
    }

    /// A job of the tenant became scheduled.
    pub fn scheduled(&mut self, tenant: &str, at: Timestamp) {
        let next_due = &mut self.of(tenant).next_due;
        *next_due = Some(next_due.map_or(at, |other| other.min(at)));
    }

    /// A job does not occupy its key any more.
    pub fn released(&mut self, job: &Live) {
        if let Some(key) = job.key().filter(|_| job.occupies) {
            self.keys.entry(key).or_default().released += 1;
        }
    }

    /// A job with this key became blocked. It becomes ready when the effects are written, if its
    /// key is not full.
    pub fn blocked(&mut self, key: Key) {
        self.keys.entry(key).or_default().blocked += 1;
    }

    /// Writes the effects, as the last part of a transaction.
    pub async fn write(self, connection: &mut SqliteConnection) -> Result<(), DbError> {
        for (key, change) in &self.keys {
            keys::settle(connection, key, *change).await?;
        }
        let counts: Vec<_> = self.counts.into_iter().collect();
        for some in counts.chunks(ROWS) {
            let mut query =
                QueryBuilder::<Sqlite>::new("INSERT INTO job_counts (tenant, live, done, dead, next_due) ");
            query.push_values(some, |mut values, (tenant, change)| {
                values
                    .push_bind(tenant.as_str())
                    .push_bind(change.live)
                    .push_bind(change.done)
                    .push_bind(change.dead)
                    .push_bind(change.next_due.map(|at| at.0));
            });
            query.push(ADD);
            let query = query.build().persistent(some.len() == 1);
            query.execute(&mut *connection).await.map_err(unavailable)?;
        }
        Ok(())
    }

    fn of(&mut self, tenant: &str) -> &mut CountChange {
        self.counts.entry(tenant.to_owned()).or_default()
    }
}

const ADD: &str = " ON CONFLICT (tenant) DO UPDATE SET \
    live = job_counts.live + excluded.live, done = job_counts.done + excluded.done, \
    dead = job_counts.dead + excluded.dead, \
    next_due = MIN(COALESCE(job_counts.next_due, excluded.next_due), \
                   COALESCE(excluded.next_due, job_counts.next_due))";
