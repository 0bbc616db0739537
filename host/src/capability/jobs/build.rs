//! Turns what a guest sent into a job. All of it is controlled by the guest and checked here.

use std::time::Duration;

use super::super::Invocation;
use super::super::bindings::jobs::{Due, NewJob as Wanted};
use super::{LimitReached, NotEnqueued, TooLarge};
use crate::domain::clock::{DAY, Timestamp};
use crate::domain::id::{JobId, JobName};
use crate::domain::job::{ConcurrencyKey, JobOrigin, JobSpec, NewJob};
use crate::domain::schedule::KEY_PREFIX;
use crate::domain::units::as_u64;

/// The most bytes of a unique key or a concurrency key.
const KEY_BYTES: usize = 200;

/// The range of priorities is from minus this number to it.
const PRIORITY: i32 = 1_000;

/// How far ahead a job may be due.
const LATEST: Duration = Duration::from_secs(10 * 366 * DAY.as_secs());

/// The most characters of the guest's text in an error.
const SHOWN: usize = 80;

/// What an invocation adds: a job or an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// A job.
    Job,
    /// An event.
    Event,
}

/// Bytes that the guest passed.
pub fn bytes(wanted: &Wanted) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let due = match &wanted.due {
        Due::At(text) => text.len(),
        Due::Now | Due::AfterMs(_) => 0,
    };
    wanted.name.len()
        + wanted.payload.len()
        + due
        + optional(&wanted.unique_key)
        + optional(&wanted.concurrency_key)
}

/// Builds the job that the running plugin wants to add, if it may.
pub fn build(invocation: &Invocation, wanted: Wanted) -> Result<NewJob, NotEnqueued> {
    let spec = spec(invocation, &wanted.name)?;
    check_added::<NotEnqueued>(invocation, wanted.payload.len())?;
    let depth = next_depth(invocation)?;
    if !(-PRIORITY..=PRIORITY).contains(&wanted.priority) {
        return Err(NotEnqueued::Invalid(format!(
            "the priority {} is out of range; it is from -{PRIORITY} to {PRIORITY}, and 0 is usual",
            wanted.priority
        )));
    }
    check_key("unique", wanted.unique_key.as_deref())?;
    check_key("concurrency", wanted.concurrency_key.as_deref())?;
    let now = invocation.clock.now();
    Ok(NewJob {
        id: JobId::generate(),
        tenant: invocation.active.tenant,
        plugin: invocation.active.plugin.clone(),
        name: spec.name.clone(),
        run_at: run_at(&wanted.due, now)?,
        concurrency: concurrency(spec, wanted.concurrency_key)?,
        payload: wanted.payload.into(),
        origin: JobOrigin::Enqueued,
        priority: wanted.priority,
        max_attempts: spec.attempts.get(),
        backoff: spec.backoff,
        unique_key: wanted.unique_key,
        depth,
        traceparent: invocation.traceparent.clone(),
        created_at: now,
    })
}

/// Returns an error if the invocation may not add a further job or event with such a payload.
pub fn check_added<E: From<LimitReached> + From<TooLarge>>(
    invocation: &Invocation,
    payload: usize,
) -> Result<(), E> {
    let (limits, usage) = (invocation.limits(), &invocation.usage);
    if usage.jobs_enqueued.saturating_add(usage.events_published) >= limits.jobs_enqueued {
        return Err(LimitReached::Count(limits.jobs_enqueued).into());
    }
    if payload > limits.job_payload.as_usize() {
        return Err(TooLarge::Payload(payload, limits.job_payload).into());
    }
    Ok(())
}

/// How many jobs lead to a job that the invocation adds.
pub fn next_depth(invocation: &Invocation) -> Result<u32, LimitReached> {
    let depth = invocation
        .job
        .as_ref()
        .map_or(0, |running| running.depth.saturating_add(1));
    let most = invocation.limits().job_depth;
    if depth >= most {
        return Err(LimitReached::Depth(depth, most));
    }
    Ok(depth)
}

impl Added {
    /// Counts it in the usage of the invocation.
    pub fn count(self, invocation: &mut Invocation, payload: usize, depth: u32) {
        let usage = &mut invocation.usage;
        match self {
            Self::Job => usage.jobs_enqueued += 1,
            Self::Event => usage.events_published += 1,
        }
        usage.job_payload_bytes = usage.job_payload_bytes.max(as_u64(payload));
        usage.job_depth = usage.job_depth.max(depth + 1);
    }
}

fn spec<'a>(invocation: &'a Invocation, name: &str) -> Result<&'a JobSpec, NotEnqueued> {
    let jobs = &invocation.active.jobs;
    let known = name.parse::<JobName>().ok().and_then(|name| jobs.get(&name));
    known.ok_or_else(|| {
        let names: Vec<String> = jobs.keys().map(|name| format!("`{name}`")).collect();
        NotEnqueued::UnknownJob {
            name: shown(name),
            hint: match names.as_slice() {
                [] => "it has none; declare jobs with [[job]]".to_owned(),
                _ => format!("it has {}", names.join(", ")),
            },
        }
    })
}

fn check_key(kind: &str, key: Option<&str>) -> Result<(), NotEnqueued> {
    let key = key.unwrap_or_default();
    let bytes = key.len();
    if bytes > KEY_BYTES {
        return Err(NotEnqueued::Invalid(format!(
            "the {kind} key has {bytes} bytes, and {KEY_BYTES} is the most; use a hash of it"
        )));
    }
    // Such a job would stop the schedule, or wait for its jobs.
    if key.starts_with(KEY_PREFIX) {
        return Err(NotEnqueued::Invalid(format!(
            "the {kind} key begins with `{KEY_PREFIX}`, which is for the keys of schedules; let it begin with another \
             text"
        )));
    }
    Ok(())
}

/// A time that has passed is now: an old time must not put a job before others.
fn run_at(due: &Due, now: Timestamp) -> Result<Timestamp, NotEnqueued> {
    let at = match due {
        Due::Now => now,
        Due::AfterMs(wait) => now.saturating_add(Duration::from_millis(*wait)),
        Due::At(text) => match text.parse::<jiff::Timestamp>() {
            Ok(at) => Timestamp(at.as_millisecond()),
            Err(_) => {
                return Err(NotEnqueued::Invalid(format!(
                    "`{}` is no time; write it in RFC 3339, such as 2026-01-02T03:04:05Z",
                    shown(text)
                )));
            }
        },
    };
    if at > now.saturating_add(LATEST) {
        return Err(NotEnqueued::Invalid(
            "the job is due in more than ten years; add it later".to_owned(),
        ));
    }
    Ok(at.max(now))
}

fn concurrency(spec: &JobSpec, key: Option<String>) -> Result<Option<ConcurrencyKey>, NotEnqueued> {
    match (spec.concurrency, key) {
        (Some(bound), key) => Ok(Some(ConcurrencyKey {
            key: key.unwrap_or_default(),
            bound,
        })),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(NotEnqueued::Invalid(format!(
            "the job `{0}` has a concurrency key and no bound in the manifest; write `concurrency = {{ limit = 1 }}` \
             under its [[job]], or leave the key out",
            spec.name
        ))),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
