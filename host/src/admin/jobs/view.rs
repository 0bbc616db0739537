//! Jobs as the admin API shows them: what each waits for, and what its caller may see of it.

use crate::domain::clock::Timestamp;
use crate::domain::job::{Attempt, Concurrency, Job, JobOrigin, JobState, NewJob};
use crate::tenants::HoldReason;
use crate::wire::events::CloudEvent;
use crate::wire::jobs::{AttemptView, ConcurrencyView, JobDetail, JobView, OriginView, WaitKind, WaitView};

/// Whether the caller sees what plugins wrote: payloads, keys and error texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Developers, owners and operators.
    Shown,
    /// Viewers.
    Hidden,
}

impl Content {
    /// The value, if the caller sees it.
    pub fn of<T>(self, value: Option<T>) -> Option<T> {
        value.filter(|_| self == Self::Shown)
    }
}

impl JobView {
    /// A job in a list. `hold` says why jobs of its kind cannot run now.
    pub(in crate::admin) fn new(job: Job, hold: Option<&HoldReason>, content: Content) -> Self {
        let waits_for = waits_for(&job, hold);
        let is_waiting = waits_for.is_some();
        let Job {
            new,
            state,
            attempt,
            lease_until,
            cancel_requested,
            ended_at,
            error,
        } = job;
        let NewJob {
            id,
            plugin,
            name,
            origin,
            priority,
            run_at,
            max_attempts,
            unique_key,
            concurrency,
            depth,
            created_at,
            ..
        } = new;
        Self {
            id,
            plugin,
            job: name,
            state,
            waits_for,
            origin: OriginView::new(origin, None),
            attempt,
            max_attempts,
            priority,
            depth,
            created_at,
            due_at: is_waiting.then_some(run_at),
            lease_until: lease_until.filter(|_| state == JobState::Running),
            cancel_requested,
            ended_at,
            unique_key: content.of(unique_key),
            concurrency: concurrency.map(|key| ConcurrencyView {
                key: content.of(Some(key.key)),
                limit: key.bound.limit.get(),
                ordered: key.bound.ordered,
            }),
            error: content.of(error),
        }
    }
}

impl JobDetail {
    /// A job with its payload and its attempts.
    pub(in crate::admin) fn new(
        mut job: Job,
        attempts: Vec<Attempt>,
        hold: Option<&HoldReason>,
        content: Content,
    ) -> Self {
        let payload = content.of(Some(job.new.payload.to_string()));
        let traceparent = job.new.traceparent.take();
        // The payload of a job of the host is an id, not the data of the event.
        let data = payload.as_deref().filter(|_| !job.new.plugin.is_host());
        let origin = OriginView::new(job.new.origin.clone(), data);
        let view = |attempt: Attempt| AttemptView {
            number: attempt.number,
            node: attempt.node,
            started_at: attempt.started_at,
            ended_at: attempt.ended_at,
            outcome: attempt.outcome,
            error: content.of(attempt.error),
            invocation: attempt.invocation,
        };
        Self {
            job: JobView {
                origin,
                ..JobView::new(job, hold, content)
            },
            payload,
            traceparent,
            attempts: attempts.into_iter().map(view).collect(),
            content_hidden: content == Content::Hidden,
        }
    }
}

impl OriginView {
    /// An origin. The data of an event is the payload of its jobs.
    fn new(origin: JobOrigin, payload: Option<&str>) -> Self {
        match origin {
            JobOrigin::Enqueued => Self::Enqueued,
            JobOrigin::Schedule { name, due_at } => Self::Schedule { name, due_at },
            JobOrigin::Event { event } => Self::Event {
                event: CloudEvent::new(event, payload),
            },
            JobOrigin::Webhook { name, received } => Self::Webhook { name, received },
        }
    }
}

/// What a job waits for; `None` if it runs or has ended.
fn waits_for(job: &Job, hold: Option<&HoldReason>) -> Option<WaitView> {
    let wait = |kind, detail: String| Some(WaitView { kind, detail });
    match job.state {
        JobState::Scheduled => wait(WaitKind::Time, time(job, hold)),
        JobState::Ready | JobState::Held => match (hold, job.state) {
            (Some(hold), _) => wait(WaitKind::Hold, hold.to_string()),
            (None, JobState::Held) => wait(
                WaitKind::Hold,
                "it is no longer held, and becomes ready within some seconds".to_owned(),
            ),
            (None, _) => wait(
                WaitKind::Slot,
                "it runs as soon as a slot is free; `jobs_running` bounds the running jobs of the tenant, \
                 and `jobs.running` those of a node"
                    .to_owned(),
            ),
        },
        JobState::Blocked => {
            let bound = job.new.concurrency.as_ref().map(|key| key.bound);
            wait(WaitKind::Key, key(bound))
        }
        JobState::Running | JobState::Done | JobState::Dead | JobState::Cancelled => None,
    }
}

/// Until when a job waits, and whether it could run then.
fn time(job: &Job, hold: Option<&HoldReason>) -> String {
    let due: Timestamp = job.new.run_at;
    let due = match job.attempt {
        0 => format!("it is due at {due}"),
        begun => format!(
            "attempt {} of {} is due at {due}",
            begun.saturating_add(1),
            job.new.max_attempts
        ),
    };
    match hold {
        None => due,
        Some(hold) => format!("{due}; it could not run now: {hold}"),
    }
}

/// What a blocked job waits for.
fn key(bound: Option<Concurrency>) -> String {
    match bound {
        Some(Concurrency { limit, ordered: true }) => format!(
            "{limit} earlier jobs with the same concurrency key are ready, run, or wait for their next attempt"
        ),
        Some(Concurrency {
            limit,
            ordered: false,
        }) => {
            format!("{limit} jobs with the same concurrency key are ready or run")
        }
        // A job without a key is never blocked by one; the row was written by another version.
        None => "other jobs with the same concurrency key are ready or run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::domain::id::{JobId, TenantId};
    use crate::domain::job::{Backoff, ConcurrencyKey};

    fn job(state: JobState) -> Job {
        Job {
            new: NewJob {
                id: JobId::generate(),
                tenant: TenantId::generate(),
                plugin: "orders".parse().unwrap(),
                name: "sync-erp".parse().unwrap(),
                payload: "{\"order\":7}".into(),
                origin: JobOrigin::Event {
                    event: Event {
                        id: "0190a5c0-0000-7000-8000-000000000001".parse().unwrap(),
                        source: "shop".parse().unwrap(),
                        topic: "order.created".parse().unwrap(),
                        time: Timestamp(0),
                    },
                },
                priority: 0,
                run_at: Timestamp(60_000),
                max_attempts: 8,
                backoff: Backoff::default(),
                unique_key: Some("customer-7".to_owned()),
                concurrency: Some(ConcurrencyKey {
                    key: "customer-7".to_owned(),
                    bound: Concurrency {
                        limit: 1.try_into().unwrap(),
                        ordered: true,
                    },
                }),
                depth: 1,
                traceparent: None,
                created_at: Timestamp(0),
            },
            state,
            attempt: 2,
            lease_until: None,
            cancel_requested: false,
            ended_at: None,
            error: Some("the ERP of customer 7 is away".to_owned()),
        }
    }

    fn attempt() -> Attempt {
        Attempt {
            number: 1,
            node: "a".to_owned(),
            started_at: Timestamp(0),
            ended_at: None,
            outcome: None,
            error: Some("customer 7".to_owned()),
            invocation: None,
        }
    }

    #[test]
    fn a_viewer_sees_nothing_that_a_plugin_wrote() {
        let shown = |content| {
            let detail = JobDetail::new(job(JobState::Ready), vec![attempt()], None, content);
            serde_json::to_string(&detail).unwrap()
        };
        let all = shown(Content::Shown);
        for content in [
            "\"order\":7",
            "customer-7",
            "the ERP of customer 7",
            "error",
            "data",
        ] {
            assert!(all.contains(content), "{content}: {all}");
        }
        let little = shown(Content::Hidden);
        for content in ["order\":7", "customer", "error", "data", "payload"] {
            assert!(!little.contains(content), "{content}: {little}");
        }
        assert!(little.contains("\"content_hidden\":true"), "{little}");
        assert!(little.contains("\"type\":\"order.created\""), "{little}");
    }

    #[test]
    fn a_job_says_what_it_waits_for() {
        let wait = |state, hold: Option<&HoldReason>| {
            let wait = waits_for(&job(state), hold)?;
            Some((wait.kind, wait.detail))
        };
        let (kind, detail) = wait(JobState::Scheduled, None).unwrap();
        assert_eq!(kind, WaitKind::Time);
        assert_eq!(detail, "attempt 3 of 8 is due at 1970-01-01T00:01:00.000Z");
        let (_, detail) = wait(JobState::Scheduled, Some(&HoldReason::Paused)).unwrap();
        assert!(detail.contains("could not run now"), "{detail}");
        assert_eq!(wait(JobState::Ready, None).unwrap().0, WaitKind::Slot);
        assert_eq!(
            wait(JobState::Held, Some(&HoldReason::Paused)),
            Some((WaitKind::Hold, HoldReason::Paused.to_string()))
        );
        assert_eq!(wait(JobState::Held, None).unwrap().0, WaitKind::Hold);
        let (kind, detail) = wait(JobState::Blocked, None).unwrap();
        assert!(
            kind == WaitKind::Key && detail.contains("next attempt"),
            "{detail}"
        );
        for state in [
            JobState::Running,
            JobState::Done,
            JobState::Dead,
            JobState::Cancelled,
        ] {
            assert_eq!(wait(state, None), None);
        }
    }
}
