//! The checks of new jobs and events, which are those of the host.

use std::collections::BTreeSet;

use super::queue::{Bound, NewEntry, StoredJob};
use super::spec::{JobSpec, Subscription};
use super::{Background, PublishedEvent, topic};
use crate::jobs::{Due, Origin, Prepared};
use crate::testing::budget::{JOB_BACKLOG, JOB_DEPTH, Limits};
use crate::{db, events, jobs};

/// The longest unique or concurrency key, in bytes.
const MAX_KEY: usize = 200;

/// The beginning of the keys of schedules.
pub(super) const SCHEDULE_KEY: &str = "schedule:";

/// The range of priorities is from minus this number to it.
const PRIORITY: i32 = 1_000;

/// How far ahead a job may be due.
const LATEST_MS: i64 = 10 * 366 * 24 * 60 * 60 * 1_000;

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
        let spec = self.spec(&job.name).ok_or_else(|| self.unknown(&job.name))?;
        check_payload(&job.payload, limits)?;
        let depth = self.next_depth()?;
        if !(-PRIORITY..=PRIORITY).contains(&job.priority) {
            return Err(Refusal::Invalid(format!(
                "the priority {} is out of range; it is from -{PRIORITY} to {PRIORITY}, and 0 is usual",
                job.priority
            )));
        }
        check_key("unique", job.unique_key.as_deref())?;
        check_key("concurrency", job.concurrency_key.as_deref())?;
        let run_at = run_at(job.due, now_ms)?;
        // Without a manifest no job has a bound, and a test may still name keys.
        if self.specs.is_some() && spec.concurrency.is_none() && job.concurrency_key.is_some() {
            return Err(Refusal::Invalid(format!(
                "the job `{}` has a concurrency key and no bound in the manifest; write `concurrency = {{ limit = 1 }}` \
                 under its [[job]], or leave the key out",
                spec.name
            )));
        }
        self.check_room(pending + 1)?;
        let mut entry = self.entry(&spec, job.payload, Origin::Enqueued, depth, now_ms);
        if let (Some(bound), Some(key)) = (&mut entry.bound, &job.concurrency_key) {
            bound.key.clone_from(key);
        }
        entry.job.run_at = run_at;
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
                "the topic `{event_topic}` is not granted to the plugin; list it or a pattern for it as `publish` \
                 under [events] in the manifest, and grant it"
            )));
        }
        check_payload(&data, limits)?;
        let depth = self.next_depth()?;
        let event = self.event(event_topic, source, data, now_ms);
        let jobs = self.subscribers(&event, depth, now_ms);
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
        let matching = self.subscriptions.iter().filter(matching);
        // A job that subscribes with several patterns gets an event once.
        let names: BTreeSet<&str> = matching.map(|subscription| subscription.job.as_str()).collect();
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
    fn next_depth(&self) -> Result<u32, Refusal> {
        let running = self.running.borrow();
        let depth = running.as_ref().map_or(0, |running| running.depth + 1);
        if depth < JOB_DEPTH {
            return Ok(depth);
        }
        Err(Refusal::Limit(format!(
            "{depth} jobs and events led to this one, and the plan allows a chain of {JOB_DEPTH} (`job_depth`); jobs \
             that add jobs need an end"
        )))
    }

    fn unknown(&self, name: &str) -> Refusal {
        let names = self.specs.iter().flat_map(|specs| specs.keys());
        let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
        let hint = match names.as_slice() {
            [] => "it has none; declare jobs with [[job]]".to_owned(),
            _ => format!("it has {}", names.join(", ")),
        };
        Refusal::UnknownJob(format!(
            "the manifest of the plugin has no job `{}`; {hint}",
            shown(name)
        ))
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
        "the payload has {} bytes, and the plan allows {} (`job_payload`); store the data and pass its key",
        payload.len(),
        limits.job_payload
    )))
}

fn check_key(kind: &str, key: Option<&str>) -> Result<(), Refusal> {
    let key = key.unwrap_or_default();
    let bytes = key.len();
    if bytes > MAX_KEY {
        return Err(Refusal::Invalid(format!(
            "the {kind} key has {bytes} bytes, and {MAX_KEY} is the most; use a hash of it"
        )));
    }
    if key.starts_with(SCHEDULE_KEY) {
        return Err(Refusal::Invalid(format!(
            "the {kind} key begins with `{SCHEDULE_KEY}`, which is for the keys of schedules; let it begin with another \
             text"
        )));
    }
    Ok(())
}

/// A time that has passed is now.
fn run_at(due: Due, now_ms: i64) -> Result<i64, Refusal> {
    let at = match due {
        Due::Now => now_ms,
        Due::AfterMs(delay) => now_ms.saturating_add(i64::try_from(delay).unwrap_or(i64::MAX)),
        Due::At(unix_ms) => unix_ms,
    };
    if at > now_ms.saturating_add(LATEST_MS) {
        return Err(Refusal::Invalid(
            "the job is due in more than ten years; add it later".to_owned(),
        ));
    }
    Ok(at.max(now_ms))
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
