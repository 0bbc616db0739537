//! The jobs that wait, by the host's rules for due times, priorities and keys. One runs at a time.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::spec::{Backoff, Concurrency};
use crate::jobs::{Job, JobError, Origin};

/// The longest wait that a plugin may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A job that the test host keeps: one that waits, or a dead letter.
///
/// ```
/// # let host = mortise_sdk::testing::Host::start();
/// mortise_sdk::jobs::enqueue("sync", &7)?;
/// let job = &host.jobs()[0];
/// assert_eq!((job.name.as_str(), job.attempt, job.parse_payload::<i64>()), ("sync", 0, 7));
/// # Ok::<(), mortise_sdk::jobs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredJob {
    /// The id.
    pub id: String,
    /// The name in the manifest.
    pub name: String,
    /// The payload as it is stored.
    pub payload: String,
    /// Why the job exists.
    pub origin: Origin,
    /// How many attempts have begun.
    pub attempt: u32,
    /// Jobs with a lower number run first.
    pub priority: i32,
    /// When it is due, in milliseconds since 1970 UTC.
    pub run_at: i64,
    /// The unique key.
    pub unique_key: Option<String>,
    /// The concurrency key.
    pub concurrency_key: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// What became of a job after an attempt.
///
/// ```
/// use mortise_sdk::jobs::{self, JobError};
/// use mortise_sdk::testing::{Host, Outcome};
///
/// mortise_sdk::jobs! { "refuse" => |_: ()| Err::<(), _>(JobError::discard("never")) }
///
/// let host = Host::start();
/// jobs::enqueue("refuse", &())?;
/// assert_eq!(host.run_jobs(&JOBS)[0].outcome, Outcome::Dead);
/// # Ok::<(), jobs::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The job is done.
    Done,
    /// The job failed and runs again.
    Retry,
    /// The job failed for good: a dead letter.
    Dead,
}

/// A job that is to be added.
#[derive(Debug)]
pub(in crate::testing) struct NewEntry {
    pub job: StoredJob,
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub bound: Option<Bound>,
    /// How many jobs led to this one.
    pub depth: u32,
}

/// The bound of the jobs of one name with the same key.
#[derive(Clone, Debug)]
pub(in crate::testing) struct Bound {
    pub key: String,
    pub limit: u32,
    pub ordered: bool,
}

#[derive(Default)]
pub(super) struct Queue {
    live: Vec<Entry>,
    dead: Vec<StoredJob>,
    added: u64,
}

struct Entry {
    new: NewEntry,
    state: State,
    /// The order of addition.
    sequence: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is not due yet.
    Scheduled,
    /// It can run.
    Ready,
    /// It is due and waits for jobs with the same concurrency key.
    Blocked,
    Running,
}

/// A job that runs now.
pub(super) struct Claimed {
    pub job: Job,
    pub depth: u32,
}

impl StoredJob {
    /// Parses the payload from JSON; if that fails, the test fails.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::start();
    /// mortise_sdk::jobs::enqueue("sync", &[1, 2])?;
    /// assert_eq!(host.jobs()[0].parse_payload::<Vec<u8>>(), [1, 2]);
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn parse_payload<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.payload)
            .unwrap_or_else(|error| panic!("the payload is not the JSON expected: {error}: {}", self.payload))
    }
}

impl Bound {
    pub fn new(key: String, concurrency: Concurrency) -> Self {
        Self {
            key,
            limit: concurrency.limit,
            ordered: concurrency.ordered,
        }
    }
}

impl Queue {
    /// Adds a job, unless one with its unique key is live. Returns the id of the job that is there.
    pub fn add(&mut self, new: NewEntry) -> String {
        let same_key = |entry: &&Entry| {
            let job = &entry.new.job;
            job.name == new.job.name && job.unique_key == new.job.unique_key
        };
        let live = self
            .live
            .iter()
            .find(same_key)
            .filter(|_| new.job.unique_key.is_some());
        if let Some(live) = live {
            return live.new.job.id.clone();
        }
        let id = new.job.id.clone();
        self.added += 1;
        self.live.push(Entry {
            new,
            state: State::Scheduled,
            sequence: self.added,
        });
        id
    }

    /// The jobs that wait or run, in the order of addition.
    pub fn live(&self) -> Vec<StoredJob> {
        self.live.iter().map(|entry| entry.new.job.clone()).collect()
    }

    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    pub fn dead(&self) -> Vec<StoredJob> {
        self.dead.clone()
    }

    /// Begins an attempt of the next due job.
    pub fn claim(&mut self, now_ms: i64) -> Option<Claimed> {
        self.promote(now_ms);
        let ready = self.live.iter_mut().filter(|entry| entry.state == State::Ready);
        let next = ready.min_by_key(|entry| {
            let job = &entry.new.job;
            (job.priority, job.run_at, entry.sequence)
        })?;
        next.state = State::Running;
        let NewEntry {
            job,
            max_attempts,
            depth,
            ..
        } = &mut next.new;
        job.attempt += 1;
        Some(Claimed {
            job: Job {
                id: job.id.clone(),
                name: job.name.clone(),
                payload: job.payload.clone(),
                origin: job.origin.clone(),
                attempt: job.attempt,
                max_attempts: *max_attempts,
            },
            depth: *depth,
        })
    }

    /// Ends the attempt of a job.
    pub fn end(&mut self, id: &str, result: Result<(), JobError>, now_ms: i64) -> Outcome {
        let Some(index) = self.live.iter().position(|entry| entry.new.job.id == id) else {
            unreachable!("a running job is live");
        };
        let entry = &mut self.live[index];
        let bound = entry.new.bound.clone();
        let name = entry.new.job.name.clone();
        let Err(error) = result else {
            self.live.remove(index);
            self.unblock(&name, bound.as_ref());
            return Outcome::Done;
        };
        let job = &mut entry.new.job;
        job.error = Some(error.to_string());
        let wait = match error {
            JobError::Retry(_) => Some(entry.new.backoff.wait(job.attempt)),
            JobError::RetryAfter(wait, _) => Some(wait.min(MAX_RETRY_AFTER)),
            JobError::Discard(_) => None,
        };
        let wait = wait.filter(|_| job.attempt < entry.new.max_attempts);
        let outcome = match wait {
            Some(wait) => {
                let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                job.run_at = now_ms.saturating_add(wait_ms);
                entry.state = State::Scheduled;
                Outcome::Retry
            }
            None => {
                let entry = self.live.remove(index);
                self.dead.push(entry.new.job);
                Outcome::Dead
            }
        };
        self.unblock(&name, bound.as_ref());
        outcome
    }

    /// Makes due jobs ready, or blocked if their key is taken.
    fn promote(&mut self, now_ms: i64) {
        let is_due = |entry: &Entry| entry.state == State::Scheduled && entry.new.job.run_at <= now_ms;
        let mut due: Vec<usize> = (0..self.live.len())
            .filter(|index| is_due(&self.live[*index]))
            .collect();
        due.sort_by_key(|index| (self.live[*index].new.job.run_at, self.live[*index].sequence));
        for index in due {
            let NewEntry { job, bound, .. } = &self.live[index].new;
            let is_free = bound.as_ref().is_none_or(|bound| {
                let has_its_place = bound.ordered && job.attempt > 0;
                has_its_place || self.taken(&job.name, bound) < bound.limit
            });
            self.live[index].state = if is_free { State::Ready } else { State::Blocked };
        }
    }

    /// Makes blocked jobs of a key ready, as far as the key is free.
    fn unblock(&mut self, name: &str, bound: Option<&Bound>) {
        let Some(bound) = bound else { return };
        while self.taken(name, bound) < bound.limit {
            let blocked = self
                .live
                .iter_mut()
                .filter(|entry| entry.state == State::Blocked && entry.has(name, &bound.key));
            let next = blocked.min_by_key(|entry| {
                let priority = if bound.ordered { 0 } else { entry.new.job.priority };
                (priority, entry.sequence)
            });
            let Some(next) = next else {
                return;
            };
            next.state = State::Ready;
        }
    }

    /// How many jobs take up the key: those that can run or run, and if the order counts also those
    /// that wait for their next attempt.
    fn taken(&self, name: &str, bound: &Bound) -> u32 {
        let takes = |entry: &&Entry| {
            entry.has(name, &bound.key)
                && match entry.state {
                    State::Ready | State::Running => true,
                    State::Scheduled => bound.ordered && entry.new.job.attempt > 0,
                    State::Blocked => false,
                }
        };
        u32::try_from(self.live.iter().filter(takes).count()).unwrap_or(u32::MAX)
    }
}

impl Entry {
    fn has(&self, name: &str, key: &str) -> bool {
        self.new.job.name == name && self.new.bound.as_ref().is_some_and(|bound| bound.key == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str, bound: Option<Bound>) -> NewEntry {
        NewEntry {
            job: StoredJob {
                id: id.to_owned(),
                name: "sync".to_owned(),
                payload: "null".to_owned(),
                origin: Origin::Enqueued,
                attempt: 0,
                priority: 0,
                run_at: 0,
                unique_key: None,
                concurrency_key: None,
                error: None,
            },
            max_attempts: 2,
            backoff: Backoff::default(),
            bound,
            depth: 0,
        }
    }

    fn bound(limit: u32, ordered: bool) -> Option<Bound> {
        Some(Bound {
            key: String::new(),
            limit,
            ordered,
        })
    }

    fn claim(queue: &mut Queue, now_ms: i64) -> Option<String> {
        queue.claim(now_ms).map(|claimed| claimed.job.id)
    }

    fn fail(queue: &mut Queue, id: &str, now_ms: i64) -> Outcome {
        queue.end(id, Err(JobError::retry("not now")), now_ms)
    }

    #[test]
    fn jobs_run_by_priority_then_time_then_order() {
        let mut queue = Queue::default();
        for (id, priority, run_at) in [
            ("late", 0, 2),
            ("first", 0, 1),
            ("second", 0, 1),
            ("urgent", -1, 2),
        ] {
            let mut new = entry(id, None);
            (new.job.priority, new.job.run_at) = (priority, run_at);
            queue.add(new);
        }
        assert_eq!(claim(&mut queue, 0), None);
        let order: Vec<_> = std::iter::from_fn(|| claim(&mut queue, 2)).collect();
        assert_eq!(order, ["urgent", "first", "second", "late"]);
    }

    #[test]
    fn a_unique_key_is_free_again_when_its_job_has_ended() {
        let mut queue = Queue::default();
        let new = |id| {
            let mut new = entry(id, None);
            new.job.unique_key = Some("key".to_owned());
            new
        };
        assert_eq!(queue.add(new("a")), "a");
        assert_eq!(queue.add(new("b")), "a");
        assert_eq!(claim(&mut queue, 0).as_deref(), Some("a"));
        assert_eq!(queue.add(new("c")), "a");
        assert_eq!(queue.end("a", Ok(()), 0), Outcome::Done);
        assert_eq!(queue.add(new("d")), "d");
    }

    #[test]
    fn an_ordered_job_that_waits_for_its_next_attempt_holds_back_the_later_ones() {
        let mut queue = Queue::default();
        for id in ["a", "b"] {
            queue.add(entry(id, bound(1, true)));
        }
        assert_eq!(claim(&mut queue, 0).as_deref(), Some("a"));
        assert_eq!(claim(&mut queue, 0), None);
        assert_eq!(fail(&mut queue, "a", 0), Outcome::Retry);
        assert_eq!(claim(&mut queue, 999), None);
        assert_eq!(claim(&mut queue, 1_000).as_deref(), Some("a"));
        assert_eq!(fail(&mut queue, "a", 1_000), Outcome::Dead);
        assert_eq!(claim(&mut queue, 1_000).as_deref(), Some("b"));
        assert_eq!(queue.dead()[0].error.as_deref(), Some("not now"));
    }

    #[test]
    fn without_an_order_a_waiting_job_holds_back_nothing() {
        let mut queue = Queue::default();
        for id in ["a", "b", "c"] {
            queue.add(entry(id, bound(2, false)));
        }
        assert_eq!(claim(&mut queue, 0).as_deref(), Some("a"));
        assert_eq!(claim(&mut queue, 0).as_deref(), Some("b"));
        assert_eq!(claim(&mut queue, 0), None);
        assert_eq!(fail(&mut queue, "a", 0), Outcome::Retry);
        assert_eq!(claim(&mut queue, 0).as_deref(), Some("c"));
        assert_eq!(claim(&mut queue, 1_000), None);
        assert_eq!(queue.end("b", Ok(()), 1_000), Outcome::Done);
        assert_eq!(claim(&mut queue, 1_000).as_deref(), Some("a"));
    }

    #[test]
    fn of_the_jobs_that_wait_for_a_key_the_most_urgent_one_is_next_unless_they_are_ordered() {
        for (ordered, expected) in [(false, ["a", "c", "b"]), (true, ["a", "b", "c"])] {
            let mut queue = Queue::default();
            for (id, priority) in [("a", 0), ("b", 0), ("c", -1)] {
                let mut new = entry(id, bound(1, ordered));
                new.job.priority = priority;
                queue.add(new);
            }
            let order = expected.map(|_| {
                let id = claim(&mut queue, 0).expect("a job");
                assert_eq!(queue.end(&id, Ok(()), 0), Outcome::Done);
                id
            });
            assert_eq!(order, expected);
        }
    }

    #[test]
    fn a_plugin_may_wait_for_seven_days_at_most() {
        let mut queue = Queue::default();
        queue.add(entry("a", None));
        claim(&mut queue, 0);
        let forever = JobError::retry_after(Duration::MAX, "later");
        assert_eq!(queue.end("a", Err(forever), 0), Outcome::Retry);
        assert_eq!(queue.live()[0].run_at, 7 * 24 * 60 * 60 * 1_000);
    }
}
