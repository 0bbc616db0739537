//! The checks of new jobs and events, which are those of the host.

use super::queue::{Bound, NewEntry, StoredJob};
use super::spec::{JobSpec, Subscription};
use super::{Background, PublishedEvent, topic};
use crate::jobs::{Due, Origin, Prepared};
use crate::testing::budget::{JOB_BACKLOG, JOB_DEPTH, Limits};
use crate::{db, events, jobs};

/// The longest unique or concurrency key, in bytes.
const MAX_KEY: usize = 200;

const PRIORITIES: std::ops::RangeInclusive<i32> = -1_000..=1_000;

/// A job or an event that may be added.
#[derive(Debug)]
pub(in crate::testing) enum Accepted {
    Job(Box<NewEntry>),
    /// The event and the jobs of its subscribers.
    Event(PublishedEvent, Vec<NewEntry>),
}

/// Why a job or an event is rejected.
pub(in crate::testing) enum Refusal {
    UnknownJob(String),
    Invalid(String),
    NotGranted(String),
    TooLarge(String),
    Limit(String),
}

impl Accepted {
    /// How many jobs it adds.
    pub fn jobs(&self) -> usize {
        match self {
            Self::Job(_) => 1,
            Self::Event(_, jobs) => jobs.len(),
        }
    }
}

impl Background {
    /// Checks a job. `pending` is the number of jobs that wait for their transaction to commit.
    pub fn accept(
        &self,
        job: Prepared,
        pending: usize,
        now_ms: i64,
        limits: &Limits,
    ) -> Result<Accepted, Refusal> {
        let Some(spec) = self.spec(&job.name) else {
            return Err(Refusal::UnknownJob(format!(
                "the manifest has no job `{}`; declare it as [[job]] in plugin.toml",
                shown(&job.name)
            )));
        };
        check_payload(&job.payload, limits)?;
        for (what, key) in [("unique", &job.unique_key), ("concurrency", &job.concurrency_key)] {
            if key.as_ref().is_some_and(|key| key.len() > MAX_KEY) {
                return Err(Refusal::Invalid(format!(
                    "the {what} key has more than {MAX_KEY} bytes"
                )));
            }
        }
        if !PRIORITIES.contains(&job.priority) {
            return Err(Refusal::Invalid(format!(
                "the priority {} is not between {} and {}",
                job.priority,
                PRIORITIES.start(),
                PRIORITIES.end()
            )));
        }
        let depth = self.depth();
        check_depth(depth)?;
        self.check_room(pending + 1)?;
        let mut entry = self.entry(&spec, job.payload, Origin::Enqueued, depth, now_ms);
        if let (Some(bound), Some(key)) = (&mut entry.bound, &job.concurrency_key) {
            bound.key.clone_from(key);
        }
        entry.job.run_at = match job.due {
            Due::Now => now_ms,
            Due::AfterMs(delay) => now_ms.saturating_add(i64::try_from(delay).unwrap_or(i64::MAX)),
            Due::At(unix_ms) => unix_ms,
        };
        entry.job.priority = job.priority;
        entry.job.unique_key = job.unique_key;
        entry.job.concurrency_key = job.concurrency_key;
        Ok(Accepted::Job(Box::new(entry)))
    }

    /// Checks an event of this plugin.
    pub fn accept_event(
        &self,
        event_topic: &str,
        data: String,
        source: &str,
        pending: usize,
        now_ms: i64,
        limits: &Limits,
    ) -> Result<Accepted, Refusal> {
        check_topic(event_topic)?;
        let is_granted = |patterns: &Vec<String>| {
            patterns
                .iter()
                .any(|pattern| topic::matches(pattern, event_topic))
        };
        if !self.publishable.as_ref().is_none_or(is_granted) {
            return Err(Refusal::NotGranted(format!(
                "the plugin may not publish on `{event_topic}`; list the topic under [events] publish of plugin.toml"
            )));
        }
        check_payload(&data, limits)?;
        let depth = self.depth();
        check_depth(depth)?;
        let event = self.event(event_topic, source, data, now_ms);
        let jobs = self.subscribers(&event, depth + 1, now_ms);
        self.check_room(pending + jobs.len())?;
        Ok(Accepted::Event(event, jobs))
    }

    /// A new event.
    pub fn event(&self, event_topic: &str, source: &str, data: String, now_ms: i64) -> PublishedEvent {
        PublishedEvent {
            id: self.next_id(),
            topic: event_topic.to_owned(),
            source: source.to_owned(),
            time: now_ms,
            data,
        }
    }

    /// The jobs of the subscribers of an event.
    pub fn subscribers(&self, event: &PublishedEvent, depth: u32, now_ms: i64) -> Vec<NewEntry> {
        let matching = |subscription: &&Subscription| topic::matches(&subscription.topic, &event.topic);
        let mut names: Vec<&str> = Vec::new();
        // A job that subscribes with several patterns gets an event once.
        for subscription in self.subscriptions.iter().filter(matching) {
            if !names.contains(&subscription.job.as_str()) {
                names.push(&subscription.job);
            }
        }
        let specs = names.into_iter().filter_map(|name| self.spec(name));
        let entries = specs.map(|spec| {
            let origin = Origin::Event {
                id: event.id.clone(),
                topic: event.topic.clone(),
                source: event.source.clone(),
                time: event.time,
            };
            self.entry(&spec, event.data.clone(), origin, depth, now_ms)
        });
        entries.collect()
    }

    /// A job that is due now.
    pub fn entry(
        &self,
        spec: &JobSpec,
        payload: String,
        origin: Origin,
        depth: u32,
        now_ms: i64,
    ) -> NewEntry {
        let bound = spec.concurrency;
        NewEntry {
            job: StoredJob {
                id: self.next_id(),
                name: spec.name.clone(),
                payload,
                origin,
                attempt: 0,
                priority: 0,
                run_at: now_ms,
                unique_key: None,
                concurrency_key: None,
                error: None,
            },
            max_attempts: spec.attempts,
            backoff: spec.backoff,
            bound: bound.map(|concurrency| Bound::new(String::new(), concurrency)),
            depth,
        }
    }

    /// How many jobs lead to what is added now.
    fn depth(&self) -> u32 {
        let running = self.running.borrow();
        running.as_ref().map_or(0, |running| running.depth + 1)
    }

    fn check_room(&self, more: usize) -> Result<(), Refusal> {
        let live = self.queue.borrow().live_count();
        if live + more > JOB_BACKLOG as usize {
            return Err(Refusal::Limit(format!(
                "the tenant has {live} jobs that wait or run, and its plan allows {JOB_BACKLOG} (`job_backlog`)"
            )));
        }
        Ok(())
    }
}

/// Checks that a text is a topic.
pub(super) fn check_topic(text: &str) -> Result<(), Refusal> {
    if topic::is_topic(text) {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "`{}` is not a topic: 1 to 16 segments of a-z, 0-9, `-` and `_`, separated by dots",
        shown(text)
    )))
}

fn check_payload(payload: &str, limits: &Limits) -> Result<(), Refusal> {
    if payload.len() <= limits.job_payload.0 {
        return Ok(());
    }
    Err(Refusal::TooLarge(format!(
        "the payload has {} bytes, and it may have {} (limit `job_payload`)",
        payload.len(),
        limits.job_payload
    )))
}

fn check_depth(depth: u32) -> Result<(), Refusal> {
    if depth < JOB_DEPTH {
        return Ok(());
    }
    Err(Refusal::Limit(format!(
        "{depth} jobs led to this one, and the plan allows {JOB_DEPTH} (`job_depth`)"
    )))
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

impl From<Refusal> for jobs::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownJob(why) => Self::UnknownJob(why),
            Refusal::Invalid(why) | Refusal::NotGranted(why) => Self::Invalid(why),
            Refusal::TooLarge(_) => Self::TooLarge,
            Refusal::Limit(why) => Self::Limit(why),
        }
    }
}

impl From<Refusal> for events::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownJob(why) | Refusal::Invalid(why) => Self::Invalid(why),
            Refusal::NotGranted(why) => Self::NotGranted(why),
            Refusal::TooLarge(_) => Self::TooLarge,
            Refusal::Limit(why) => Self::Limit(why),
        }
    }
}

impl From<Refusal> for db::Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownJob(why) | Refusal::Invalid(why) => Self::Invalid(why),
            Refusal::NotGranted(why) => Self::Denied(why),
            Refusal::TooLarge(why) | Refusal::Limit(why) => Self::Limit(why),
        }
    }
}
