//! Runs one claimed job: checks its claim and its lease, invokes the plugin, and decides what
//! becomes of the job. Jobs of the host go to their handlers.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{sleep, timeout};

use super::ending;
use super::ending::MAX_ERROR_BYTES;
use super::host_jobs::HostJobs;
use super::logged_errors::in_time;
use super::policy::{MARGIN, callable};
use super::runner::Runner;
use crate::capability::RunningJob;
use crate::capability::bindings::job_handler;
use crate::capability::database::{DatabaseEngine, DatabaseError};
use crate::domain::clock::{SharedClock, Timestamp};
use crate::domain::id::InvocationId;
use crate::domain::invocation::{Triggered, Usage};
use crate::domain::job::{ClaimedJob, Ending, Job, JobOrigin, JobOutcome};
use crate::domain::problem::Code;
use crate::domain::received::WebhookContent;
use crate::fail_point;
use crate::invoke::{Admission, Call, Callee, HOST_FAILED, Invoker, NotRun, Prepared, Ran, Target};
use crate::sandbox::{Failure, Input, Output};
use crate::storage::Repository;
use crate::tenants::{Routing, job_hold};

/// How much of a lease must be left beyond the wall-clock limit when the plugin starts, so that the
/// end of the attempt can be written in time.
const SPARE: Duration = Duration::from_secs(5);

/// How long the tenant's database may take to say whether the job is completed.
const COMPLETED_WAIT: Duration = Duration::from_secs(10);

/// The shortest time between two extensions of a lease.
const SHORTEST_RENEWAL: Duration = Duration::from_millis(100);

/// Runs the jobs of plugins.
pub struct PluginRunner {
    pub(super) db: Arc<dyn Repository>,
    pub(super) databases: Arc<dyn DatabaseEngine>,
    pub(super) routing: Arc<Routing>,
    pub(super) invoker: Arc<Invoker>,
    pub(super) clock: SharedClock,
    /// Runs the jobs of the host itself.
    pub(super) host_jobs: HostJobs,
}

/// The lease of a claimed job.
struct Lease<'a> {
    runner: &'a PluginRunner,
    claimed: &'a ClaimedJob,
    until: Timestamp,
    /// How long an extension lasts.
    length: Duration,
}

/// Why an attempt ends before the plugin starts.
enum NotStarted {
    /// The claim is not this node's any more.
    Stale,
    /// The job cannot run now. The text says why.
    Failed(String),
}

#[async_trait]
impl Runner for PluginRunner {
    async fn run(&self, claimed: &ClaimedJob, invocation: &OnceLock<InvocationId>) -> Option<Ending> {
        let job = &claimed.job;
        if job.new.plugin.is_host() {
            fail_point::reach("before-run");
            return Some(self.host_jobs.run(job, &self.clock).await);
        }
        if job.attempt > 1 {
            match self.is_completed(job).await {
                Ok(true) => return Some(Ending::Done),
                Ok(false) => {}
                Err(why) => return Some(ending::retry(job, why, self.clock.now())),
            }
        }
        let Some(target) = self.target(job) else {
            // It was paused, or its plugin was replaced, since it was claimed.
            return Some(self.held(job));
        };
        let webhook = match self.webhook(job).await {
            Ok(webhook) => webhook,
            Err(ending) => return Some(ending),
        };
        let prepared = match self.prepare(&target, claimed).await {
            Ok(prepared) => prepared,
            Err(NotStarted::Stale) => return None,
            Err(NotStarted::Failed(why)) => return Some(ending::retry(job, why, self.clock.now())),
        };
        fail_point::reach("before-run");
        let id = InvocationId::generate();
        let _ = invocation.set(id);
        let ran = {
            let run = pin!(self.invoker.start(&target, prepared, call(id, job, webhook)));
            run.await
        };
        Some(match ran {
            Ok(ran) => self.ended(job, ran).await,
            Err(rejected) => ending::retry(job, rejected.to_string(), self.clock.now()),
        })
    }

    async fn has_completed(&self, job: &Job) -> bool {
        self.is_completed(job).await.unwrap_or_else(|error| {
            tracing::warn!(job = %job.new.id, tenant = %job.new.tenant, error,
                "whether a stopped job was completed is not known");
            false
        })
    }
}

impl PluginRunner {
    /// Whether an attempt completed the job, or why that is not known.
    async fn is_completed(&self, job: &Job) -> Result<bool, String> {
        let asked = self.databases.is_completed(job.new.tenant, job.new.id);
        let why = |why: String| format!("whether an earlier attempt completed the job is not known: {why}");
        match timeout(COMPLETED_WAIT, asked).await {
            Ok(answer) => answer.map_err(|error: DatabaseError| why(error.to_string())),
            Err(_) => Err(why(format!(
                "the tenant's database did not answer within {COMPLETED_WAIT:?}"
            ))),
        }
    }

    fn target(&self, job: &Job) -> Option<Target> {
        let tenant = self.routing.tenant_by_id(job.new.tenant)?;
        let (plugin, callable) = callable(Some(&*tenant), &job.new.plugin, &job.new.name)?;
        Some(Target {
            plugin: plugin.clone(),
            active: callable.active.clone(),
            callee: Callee::Job(callable.job.clone()),
            tenant,
        })
    }

    /// The ending of a job that cannot run any more. It is due at once, and held then.
    fn held(&self, job: &Job) -> Ending {
        let tenant = self.routing.tenant_by_id(job.new.tenant);
        let reason = job_hold(tenant.as_deref(), &job.new.plugin, &job.new.name);
        Ending::Interrupted {
            error: reason.map_or_else(
                || "the plugin was replaced".to_owned(),
                |reason| reason.to_string(),
            ),
        }
    }

    /// Headers and body of the webhook that the job is for; `None` for other jobs. An error is how
    /// the attempt ends without them.
    async fn webhook(&self, job: &Job) -> Result<Option<WebhookContent>, Ending> {
        let JobOrigin::Webhook { received, .. } = &job.new.origin else {
            return Ok(None);
        };
        match in_time(self.db.webhook_content(job.new.tenant, *received)).await {
            Ok(Some(content)) => Ok(Some(content)),
            Ok(None) => Err(Ending::Dead {
                error: "the received webhook was deleted, so there is no body for the plugin".to_owned(),
            }),
            Err(error) => {
                let why = format!("the received webhook cannot be read: {error}");
                Err(ending::retry(job, why, self.clock.now()))
            }
        }
    }

    /// Loads the component and waits for an instance. The lease is extended meanwhile, and again if
    /// too little of it is left for the job.
    async fn prepare(&self, target: &Target, claimed: &ClaimedJob) -> Result<Prepared, NotStarted> {
        let wall = target.active.limits.wall.0;
        let mut lease = Lease {
            runner: self,
            claimed,
            until: claimed.job.lease_until.unwrap_or_else(|| self.clock.now()),
            length: wall.saturating_add(MARGIN),
        };
        let prepared = {
            let mut prepare = pin!(self.invoker.prepare(target, Admission::Job));
            loop {
                tokio::select! {
                    prepared = &mut prepare => break prepared,
                    () = sleep(lease.left_without(SPARE).max(SHORTEST_RENEWAL)) => lease.extend().await?,
                }
            }
        };
        let prepared = prepared.map_err(|error| NotStarted::Failed(not_run(&error)))?;
        if lease.left_without(SPARE) < wall {
            lease.extend().await?;
        }
        Ok(prepared)
    }

    /// Writes the record of an attempt, and decides what becomes of the job.
    async fn ended(&self, job: &Job, ran: Ran<'_>) -> Ending {
        let Ran {
            outcome,
            mut unrecorded,
        } = ran;
        let is_completed = unrecorded.has_completed_job();
        let now = self.clock.now();
        let failure = match outcome {
            Ok(Output::Http(_) | Output::Function(_)) => {
                // A handler returns the output of its own trigger.
                tracing::error!(job = %job.new.id, tenant = %job.new.tenant,
                    "a job returned the output of another trigger");
                unrecorded.failed(Code::Internal);
                return ending::retry(job, HOST_FAILED.to_owned(), now);
            }
            Ok(Output::Job(result)) => {
                let stored = |text: &str| unrecorded.stored_text(text, MAX_ERROR_BYTES);
                let (outcome, ending) = ending::said(job, result, now, stored);
                let ending = if is_completed { Ending::Done } else { ending };
                match (outcome, ending::log_line(job, &ending)) {
                    (JobOutcome::Discard, Some(line)) => unrecorded.log_error(&line),
                    (_, Some(line)) => unrecorded.log_warning(&line),
                    (_, None) => {}
                }
                unrecorded.job_ended(outcome);
                return ending;
            }
            Err(failure) => failure,
        };
        if let Failure::Host(error) = &failure {
            tracing::error!(job = %job.new.id, tenant = %job.new.tenant, error = format!("{error:#}"),
                "the host failed while it ran a job");
        }
        let text = unrecorded.failure_text(&failure, MAX_ERROR_BYTES);
        unrecorded.job_failed(&failure);
        // The plugin may have been stopped after its transaction was committed and before it heard
        // of that.
        if is_completed || self.has_completed(job).await {
            return Ending::Done;
        }
        ending::retry(job, text, now)
    }
}

impl Lease<'_> {
    /// The time until the lease ends, without `spare`.
    fn left_without(&self, spare: Duration) -> Duration {
        self.until.since(self.runner.clock.now()).saturating_sub(spare)
    }

    async fn extend(&mut self) -> Result<(), NotStarted> {
        let until = self.runner.clock.now().saturating_add(self.length);
        let ClaimedJob { job, claim } = self.claimed;
        match self.runner.db.extend_lease(job.new.id, *claim, until).await {
            Ok(true) => {
                self.until = until;
                Ok(())
            }
            Ok(false) => Err(NotStarted::Stale),
            Err(error) => Err(NotStarted::Failed(format!(
                "its lease could not be extended: {error}"
            ))),
        }
    }
}

/// The text for a job whose plugin did not start.
fn not_run(error: &NotRun) -> String {
    match error {
        NotRun::Rejected(rejected) => rejected.to_string(),
        NotRun::NotLoaded(error) => format!("the component of the plugin cannot be loaded: {error}"),
    }
}

/// The call of a plugin for an attempt. A webhook's body is in the place of the payload.
fn call(id: InvocationId, job: &Job, webhook: Option<WebhookContent>) -> Call {
    let new = &job.new;
    let (headers, body) = match webhook {
        Some(WebhookContent { headers, body }) => (headers, Some(body)),
        None => (Vec::new(), None),
    };
    Call {
        id,
        principal: None,
        traceparent: new.traceparent.clone(),
        call_depth: 0,
        remote_address: None,
        triggered: Triggered::Job {
            id: new.id,
            name: new.name.clone(),
            attempt: job.attempt,
            outcome: None,
        },
        usage: Usage::default(),
        input_schema: None,
        held: None,
        job: Some(RunningJob {
            id: new.id,
            attempt: job.attempt,
            depth: new.depth,
            completed: false,
        }),
        input: Input::Job(job_handler::Job {
            id: new.id.to_string(),
            name: new.name.to_string(),
            payload: body.unwrap_or_else(|| new.payload.to_string()),
            origin: origin(&new.origin, headers),
            attempt: job.attempt,
            max_attempts: new.max_attempts,
        }),
    }
}

/// The origin for the plugin. `headers` are those of a webhook.
fn origin(origin: &JobOrigin, headers: Vec<(String, String)>) -> job_handler::Origin {
    match origin {
        JobOrigin::Enqueued => job_handler::Origin::Enqueued,
        JobOrigin::Schedule { name, due_at } => job_handler::Origin::Schedule(job_handler::ScheduleOrigin {
            name: name.to_string(),
            due_at: due_at.to_string(),
        }),
        JobOrigin::Event { event } => job_handler::Origin::Event(job_handler::EventOrigin {
            id: event.id.to_string(),
            topic: event.topic.to_string(),
            source: event.source.to_string(),
            time: event.time.to_string(),
        }),
        JobOrigin::Webhook { name, .. } => job_handler::Origin::Webhook(job_handler::WebhookOrigin {
            name: name.to_string(),
            headers,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Event;
    use crate::domain::id::{EventId, ReceivedId};
    use crate::jobs::testing::job;

    #[test]
    fn the_plugin_learns_why_the_job_exists() {
        let mut job = job();
        job.attempt = 2;
        let handed = |job: &Job| match call(InvocationId::generate(), job, None).input {
            Input::Job(handed) => handed,
            _ => panic!("it is a job"),
        };
        let enqueued = handed(&job);
        assert_eq!(enqueued.id, job.new.id.to_string());
        assert_eq!((enqueued.attempt, enqueued.max_attempts), (2, 8));
        assert!(matches!(enqueued.origin, job_handler::Origin::Enqueued));
        job.new.origin = JobOrigin::Schedule {
            name: "nightly".parse().unwrap(),
            due_at: Timestamp(0),
        };
        let job_handler::Origin::Schedule(schedule) = handed(&job).origin else {
            panic!("it is a schedule");
        };
        assert_eq!(
            (&*schedule.name, &*schedule.due_at),
            ("nightly", "1970-01-01T00:00:00.000Z")
        );
        let id = EventId::generate();
        job.new.origin = JobOrigin::Event {
            event: Event {
                id,
                source: "shop".parse().unwrap(),
                topic: "order.created".parse().unwrap(),
                time: Timestamp(1),
            },
        };
        let job_handler::Origin::Event(event) = handed(&job).origin else {
            panic!("it is an event");
        };
        assert_eq!(event.id, id.to_string());
        assert_eq!((&*event.topic, &*event.source), ("order.created", "shop"));
        job.new.origin = JobOrigin::Webhook {
            name: "stripe".parse().unwrap(),
            received: ReceivedId::generate(),
        };
        let content = WebhookContent {
            headers: vec![("stripe-signature".to_owned(), "t=1".to_owned())],
            body: "{\"id\":\"evt_1\"}".to_owned(),
        };
        let called = call(InvocationId::generate(), &job, Some(content.clone()));
        let Input::Job(handed) = called.input else {
            panic!("it is a job");
        };
        assert_eq!(handed.payload, content.body);
        let job_handler::Origin::Webhook(webhook) = handed.origin else {
            panic!("it is a webhook");
        };
        assert_eq!(
            (webhook.name.as_str(), webhook.headers),
            ("stripe", content.headers)
        );
    }
}
