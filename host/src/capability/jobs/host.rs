//! The host calls of the jobs.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, Invocation};
use super::build::{self, Added};
use super::{JobQueue, NotEnqueued};
use crate::deadline::within;

/// The part of the invocation that the jobs may use.
pub struct JobsView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The job queue.
    pub queue: &'a dyn JobQueue,
}

struct Jobs;

impl HasData for Jobs {
    type Data<'a> = JobsView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::jobs::add_to_linker::<T, Jobs>(linker, view)?;
    v0_2::jobs::add_to_linker::<T, Jobs>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> JobsView<'_> {
    let state = data.capabilities();
    JobsView {
        invocation: &mut state.invocation,
        queue: &*state.services.jobs,
    }
}

impl JobsView<'_> {
    async fn add(&mut self, wanted: v0_2::jobs::NewJob) -> Result<String, NotEnqueued> {
        self.invocation.charge_host_call(build::bytes(&wanted))?;
        let job = build::build(self.invocation, wanted)?;
        let (payload, depth) = (job.payload.len(), job.depth);
        let adding = self.queue.add(job, self.invocation.limits());
        let added = within(self.invocation.host_call_timeout(), adding).await;
        let id = added.map_err(|_| {
            NotEnqueued::Unavailable(
                "the job queue did not answer in time, and the job may have been added; a unique key lets you try again"
                    .to_owned(),
            )
        })??;
        Added::Job.count(self.invocation, payload, depth);
        Ok(id.to_string())
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::jobs::Host for JobsView<'_> {
            async fn enqueue(
                &mut self,
                job: $contract::jobs::NewJob,
            ) -> wasmtime::Result<Result<String, $contract::jobs::Error>> {
                self.invocation.last_calls.note("jobs.enqueue");
                Ok(self.add(job.into()).await.map_err(Into::into))
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);

impl From<NotEnqueued> for v0_2::jobs::Error {
    fn from(error: NotEnqueued) -> Self {
        match error {
            NotEnqueued::UnknownJob { .. } => Self::UnknownJob(error.to_string()),
            NotEnqueued::Invalid(why) => Self::Invalid(why),
            NotEnqueued::TooLarge(_) => Self::TooLarge,
            NotEnqueued::Limit(why) => Self::Limit(why),
            NotEnqueued::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Contract 0.1 has no case for a wrong value. Such a job has a key that is too long or is due too
/// late, so it exceeds a limit.
impl From<NotEnqueued> for v0_1::jobs::Error {
    fn from(error: NotEnqueued) -> Self {
        match error {
            NotEnqueued::UnknownJob { .. } => Self::UnknownJob(error.to_string()),
            NotEnqueued::TooLarge(_) => Self::TooLarge,
            NotEnqueued::Invalid(why) | NotEnqueued::Limit(why) => Self::Limit(why),
            NotEnqueued::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::testing::{QueueInMemory, declare_jobs, invocation};
    use super::super::super::{RunningJob, bindings};
    use super::super::QueueError;
    use super::*;
    use crate::domain::clock::{ManualClock, Timestamp};
    use crate::domain::grant::Grants;
    use crate::domain::id::JobId;
    use crate::domain::job::NewJob;
    use crate::domain::limits::Limits;
    use crate::domain::units::ByteSize;
    use bindings::jobs::{Due, NewJob as Wanted};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn caller(limits: Limits) -> Invocation {
        let mut invocation = invocation(limits, Grants::default());
        declare_jobs(
            &mut invocation,
            &[
                "name = 'plain'",
                "name = 'bounded'\nattempts = 3\nconcurrency = { limit = 2, ordered = true }",
            ],
        );
        invocation.clock = std::sync::Arc::new(ManualClock::new(NOW));
        invocation
    }

    fn wanted(name: &str) -> Wanted {
        Wanted {
            name: name.to_owned(),
            payload: "{}".to_owned(),
            due: Due::Now,
            priority: 0,
            unique_key: None,
            concurrency_key: None,
        }
    }

    async fn enqueue(
        invocation: &mut Invocation,
        queue: &QueueInMemory,
        wanted: Wanted,
    ) -> Result<NewJob, NotEnqueued> {
        let id = JobsView { invocation, queue }.add(wanted).await?;
        let job = queue.told().jobs.last().cloned().unwrap();
        assert_eq!(job.id.to_string(), id);
        Ok(job)
    }

    /// The error of a job that cannot be added.
    async fn refused(invocation: &mut Invocation, wanted: Wanted) -> String {
        let queue = QueueInMemory::default();
        let error = enqueue(invocation, &queue, wanted).await.unwrap_err();
        assert!(queue.told().jobs.is_empty());
        error.to_string()
    }

    #[tokio::test]
    async fn a_job_has_what_the_guest_and_the_manifest_say() {
        let queue = QueueInMemory::default();
        let mut invocation = caller(Limits::default());
        invocation.traceparent = Some("trace".to_owned());
        let job = enqueue(
            &mut invocation,
            &queue,
            Wanted {
                due: Due::AfterMs(5_000),
                priority: -7,
                unique_key: Some("u".to_owned()),
                ..wanted("plain")
            },
        )
        .await
        .unwrap();
        assert_eq!(job.tenant, invocation.active.tenant);
        assert_eq!((job.plugin.as_str(), job.name.as_str()), ("plugin", "plain"));
        assert_eq!((&*job.payload, job.priority, job.depth), ("{}", -7, 0));
        assert_eq!(job.run_at, NOW.saturating_add(Duration::from_secs(5)));
        assert_eq!((job.created_at, job.max_attempts), (NOW, 8));
        assert_eq!(job.unique_key.as_deref(), Some("u"));
        assert_eq!(job.traceparent.as_deref(), Some("trace"));
        assert_eq!(job.concurrency, None);

        let job = enqueue(&mut invocation, &queue, wanted("bounded")).await.unwrap();
        assert_eq!((job.run_at, job.max_attempts), (NOW, 3));
        let bound = job.concurrency.unwrap();
        assert_eq!(
            (bound.key.as_str(), bound.bound.limit.get(), bound.bound.ordered),
            ("", 2, true)
        );
        let keyed = Wanted {
            concurrency_key: Some("customer 7".to_owned()),
            ..wanted("bounded")
        };
        let job = enqueue(&mut invocation, &queue, keyed).await.unwrap();
        assert_eq!(job.concurrency.unwrap().key, "customer 7");
        let usage = &invocation.usage;
        assert_eq!(
            (usage.jobs_enqueued, usage.job_payload_bytes, usage.job_depth),
            (3, 2, 1)
        );
    }

    #[tokio::test]
    async fn a_job_is_due_at_a_time_and_at_once_if_that_has_passed() {
        let queue = QueueInMemory::default();
        let mut invocation = caller(Limits::default());
        for (at, due) in [
            ("2023-11-14T22:13:21.5Z", Timestamp(1_700_000_001_500)),
            ("2023-11-14T23:13:21+01:00", Timestamp(1_700_000_001_000)),
            ("1999-01-01T00:00:00Z", NOW),
        ] {
            let wanted = Wanted {
                due: Due::At(at.to_owned()),
                ..wanted("plain")
            };
            assert_eq!(
                enqueue(&mut invocation, &queue, wanted).await.unwrap().run_at,
                due
            );
        }
        for (due, part) in [
            (Due::At("tomorrow".to_owned()), "`tomorrow` is no time"),
            (Due::At("2023-11-14T22:13:21".to_owned()), "RFC 3339"),
            (Due::At("2099-01-01T00:00:00Z".to_owned()), "ten years"),
            (Due::AfterMs(u64::MAX), "ten years"),
        ] {
            let wanted = Wanted {
                due,
                ..wanted("plain")
            };
            let error = refused(&mut invocation, wanted).await;
            assert!(error.contains(part), "{error}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_added_is_refused_with_the_reason() {
        let limits = Limits {
            job_payload: ByteSize(4),
            ..Limits::default()
        };
        let mut invocation = caller(limits);
        let plain = || wanted("plain");
        for (wanted, part) in [
            (wanted("other"), "no job `other`; it has `bounded`, `plain`"),
            (wanted("No name"), "no job `No name`"),
            (
                Wanted {
                    payload: "12345".to_owned(),
                    ..plain()
                },
                "has 5 bytes, and the plan allows 4B",
            ),
            (
                Wanted {
                    priority: 1_001,
                    ..plain()
                },
                "-1000 to 1000",
            ),
            (
                Wanted {
                    unique_key: Some("k".repeat(201)),
                    ..plain()
                },
                "the unique key has 201 bytes",
            ),
            (
                Wanted {
                    concurrency_key: Some("k".repeat(201)),
                    ..wanted("bounded")
                },
                "the concurrency key has 201 bytes",
            ),
            (
                Wanted {
                    unique_key: Some("schedule:nightly".to_owned()),
                    ..plain()
                },
                "the unique key begins with `schedule:`",
            ),
            (
                Wanted {
                    concurrency_key: Some("schedule:nightly".to_owned()),
                    ..wanted("bounded")
                },
                "the concurrency key begins with `schedule:`",
            ),
            (
                Wanted {
                    concurrency_key: Some("k".to_owned()),
                    ..plain()
                },
                "no bound in the manifest",
            ),
        ] {
            let error = refused(&mut invocation, wanted).await;
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(invocation.usage.jobs_enqueued, 0);
        assert_eq!(invocation.usage.host_calls, 9);
        let queue = QueueInMemory::default();
        let at_limits = Wanted {
            payload: "1234".to_owned(),
            priority: -1_000,
            unique_key: Some("k".repeat(200)),
            ..plain()
        };
        enqueue(&mut invocation, &queue, at_limits).await.unwrap();
    }

    #[tokio::test]
    async fn an_invocation_adds_so_many_jobs_and_a_chain_of_jobs_ends() {
        let limits = Limits {
            jobs_enqueued: 2,
            job_depth: 3,
            ..Limits::default()
        };
        let queue = QueueInMemory::default();
        let mut invocation = caller(limits.clone());
        invocation.usage.events_published = 1;
        enqueue(&mut invocation, &queue, wanted("plain")).await.unwrap();
        let error = refused(&mut invocation, wanted("plain")).await;
        assert!(error.contains("its 2 jobs and events"), "{error}");

        let mut invocation = caller(limits);
        let running = |depth| {
            Some(RunningJob {
                id: JobId::generate(),
                attempt: 1,
                depth,
                completed: false,
            })
        };
        invocation.job = running(1);
        let job = enqueue(&mut invocation, &queue, wanted("plain")).await.unwrap();
        assert_eq!((job.depth, invocation.usage.job_depth), (2, 3));
        invocation.job = running(2);
        let error = refused(&mut invocation, wanted("plain")).await;
        assert!(error.contains("job_depth"), "{error}");
    }

    #[tokio::test]
    async fn errors_of_the_queue_are_typed() {
        let queue = QueueInMemory::default();
        let mut invocation = caller(Limits::default());
        queue.fail(Some(QueueError::Full { live: 9, limit: 9 }));
        let full = enqueue(&mut invocation, &queue, wanted("plain")).await;
        assert!(matches!(full, Err(NotEnqueued::Limit(why)) if why.contains("job_backlog")));
        queue.fail(Some(QueueError::Unavailable));
        let unavailable = enqueue(&mut invocation, &queue, wanted("plain")).await;
        assert!(matches!(unavailable, Err(NotEnqueued::Unavailable(_))));
        assert_eq!(invocation.usage.jobs_enqueued, 0);
        invocation.usage.host_calls = invocation.limits().host_calls;
        let spent = enqueue(&mut invocation, &queue, wanted("plain")).await;
        assert!(matches!(spent, Err(NotEnqueued::Limit(why)) if why.contains("host calls")));
    }

    #[tokio::test]
    async fn a_plugin_of_contract_0_1_adds_jobs_too() {
        use v0_1::jobs::{Error, Host as _, NewJob};
        let queue = QueueInMemory::default();
        let mut invocation = caller(Limits::default());
        let job = |name: &str, key: String| NewJob {
            name: name.to_owned(),
            payload: "{}".to_owned(),
            delay_ms: 1_000,
            unique_key: Some(key),
        };
        let mut view = JobsView {
            invocation: &mut invocation,
            queue: &queue,
        };
        view.enqueue(job("plain", "k".to_owned())).await.unwrap().unwrap();
        let unknown = view.enqueue(job("other", "k".to_owned())).await.unwrap();
        assert!(matches!(unknown, Err(Error::UnknownJob(why)) if why.contains("`other`")));
        let long = view.enqueue(job("plain", "k".repeat(201))).await.unwrap();
        assert!(matches!(long, Err(Error::Limit(why)) if why.contains("201 bytes")));
        let told = queue.told();
        assert_eq!(told.jobs[0].run_at, NOW.saturating_add(Duration::from_secs(1)));
    }
}
