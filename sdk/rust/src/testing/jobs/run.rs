//! Jobs and events as a test runs and sees them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::accept::check_topic;
use super::queue::{Claimed, Outcome, StoredJob};
use super::{Refusal, Running};
use crate::context::Trigger;
use crate::jobs::Jobs;
use crate::log;
use crate::testing::Host;

/// One attempt of a job that the test host ran.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// mortise_sdk::jobs! { "sync" => |_: i64| Err::<(), _>(Error::unavailable("the ERP is down")) }
///
/// let host = mortise_sdk::testing::Host::start();
/// let id = jobs::enqueue("sync", &7)?;
/// let attempts = host.run_jobs(&JOBS);
/// assert_eq!((attempts[0].job.as_str(), attempts[0].number), (id.as_str(), 1));
/// assert_eq!(attempts[0].error.as_deref(), Some("503 unavailable: the ERP is down"));
/// # Ok::<(), jobs::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The id of the job.
    pub job: String,
    /// The name of the job in the manifest.
    pub name: String,
    /// 1 for the first attempt.
    pub number: u32,
    /// What became of the job.
    pub outcome: Outcome,
    /// Why the attempt failed.
    pub error: Option<String>,
}

/// An event that was published.
///
/// ```
/// let host = mortise_sdk::testing::Host::start();
/// mortise_sdk::events::publish("order.created", &7)?;
/// assert_eq!((host.events()[0].topic.as_str(), host.events()[0].parse_data::<i64>()), ("order.created", 7));
/// # Ok::<(), mortise_sdk::events::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedEvent {
    /// The id.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// The plugin that published it.
    pub source: String,
    /// When it was published, in milliseconds since 1970 UTC.
    pub time: i64,
    /// The data as it is stored.
    pub data: String,
}

impl PublishedEvent {
    /// Parses the data from JSON; if that fails, the test fails.
    ///
    /// ```
    /// let host = mortise_sdk::testing::Host::start();
    /// mortise_sdk::events::publish("order.created", &[1, 2])?;
    /// assert_eq!(host.events()[0].parse_data::<Vec<u8>>(), [1, 2]);
    /// # Ok::<(), mortise_sdk::events::Error>(())
    /// ```
    pub fn parse_data<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.data)
            .unwrap_or_else(|error| panic!("the data is not the JSON expected: {error}: {}", self.data))
    }
}

impl Host {
    /// Runs due jobs one after the other until none is due, also those that these jobs add. A job
    /// that fails waits for its back-off: [`advance`](Host::advance) the clock and call this again.
    /// The back-off is the longest of the manifest, because a test needs no randomness.
    ///
    /// With the plugin's manifest, the test fails if the manifest and `jobs!` have different jobs.
    /// A panic of a handler fails the test.
    ///
    /// ```
    /// use std::time::Duration;
    /// use mortise_sdk::prelude::*;
    ///
    /// fn sync(order: i64, job: &Job) -> Result<(), JobError> {
    ///     match job.attempt {
    ///         1 => Err(JobError::retry("the ERP is down")),
    ///         _ => Ok(()),
    ///     }
    /// }
    ///
    /// mortise_sdk::jobs! { "sync" => sync }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// jobs::enqueue("sync", &7)?;
    /// assert_eq!(host.run_jobs(&JOBS)[0].error.as_deref(), Some("the ERP is down"));
    /// assert!(host.run_jobs(&JOBS).is_empty());
    /// host.advance(Duration::from_secs(1));
    /// assert_eq!(host.run_jobs(&JOBS)[0].error, None);
    /// # Ok::<(), jobs::Error>(())
    /// ```
    pub fn run_jobs(&self, jobs: &Jobs) -> Vec<Attempt> {
        log::install(jobs.crate_name());
        if let Some(manifest) = &self.state.manifest {
            manifest.check_jobs(jobs.names());
        }
        std::iter::from_fn(|| self.run_next_job(jobs)).collect()
    }

    /// The jobs that wait, in the order in which they were added.
    ///
    /// ```
    /// let host = mortise_sdk::testing::Host::start();
    /// mortise_sdk::jobs::enqueue("sync", &7)?;
    /// assert_eq!(host.jobs()[0].parse_payload::<i64>(), 7);
    /// # Ok::<(), mortise_sdk::jobs::Error>(())
    /// ```
    pub fn jobs(&self) -> Vec<StoredJob> {
        self.state.background.queue.borrow().live()
    }

    /// The jobs that failed for good, in the order in which they failed.
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// mortise_sdk::jobs! { "sync" => |_: i64| Err::<(), _>(JobError::discard("no such order")) }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// jobs::enqueue("sync", &7)?;
    /// host.run_jobs(&JOBS);
    /// assert_eq!(host.dead_letters()[0].error.as_deref(), Some("no such order"));
    /// # Ok::<(), jobs::Error>(())
    /// ```
    pub fn dead_letters(&self) -> Vec<StoredJob> {
        self.state.background.queue.borrow().dead()
    }

    /// The events that were published, in order. Those of a transaction are there once it has
    /// committed.
    ///
    /// ```
    /// let host = mortise_sdk::testing::Host::start();
    /// mortise_sdk::events::publish("order.created", &7)?;
    /// assert_eq!(host.events().len(), 1);
    /// # Ok::<(), mortise_sdk::events::Error>(())
    /// ```
    pub fn events(&self) -> Vec<PublishedEvent> {
        self.state.background.events.borrow().clone()
    }

    /// Publishes an event as another plugin. The plugin under test gets a job if it subscribes to
    /// the topic. Returns the id of the event.
    ///
    /// ```
    /// use mortise_sdk::events::Event;
    /// use mortise_sdk::prelude::*;
    ///
    /// fn on_paid(event: Event<i64>) -> Result<(), Error> {
    ///     assert_eq!((event.source.as_str(), event.data), ("payments", 990));
    ///     Ok(())
    /// }
    ///
    /// mortise_sdk::jobs! { "on-paid" => on_paid }
    ///
    /// let host = mortise_sdk::testing::Host::builder().subscribe("payment.*", "on-paid").start();
    /// host.publish("payments", "payment.settled", &990);
    /// assert_eq!(host.run_jobs(&JOBS)[0].error, None);
    /// ```
    pub fn publish(&self, source: &str, topic: &str, data: &(impl Serialize + ?Sized)) -> String {
        if let Err(Refusal::Invalid(why)) = check_topic(topic) {
            panic!("{why}");
        }
        let data = serde_json::to_string(data)
            .unwrap_or_else(|error| panic!("the data of the event cannot be written as JSON: {error}"));
        let (background, now_ms) = (&self.state.background, self.state.now_ms.get());
        let event = background.event(topic, source, data, now_ms);
        for job in background.subscribers(&event, 1, now_ms) {
            background.queue.borrow_mut().add(job);
        }
        event.id
    }

    fn run_next_job(&self, jobs: &Jobs) -> Option<Attempt> {
        let background = &self.state.background;
        let claimed = background.queue.borrow_mut().claim(self.state.now_ms.get());
        let Claimed { job, depth } = claimed?;
        assert!(
            jobs.names().contains(&job.name.as_str()),
            "the job `{}` is due, but jobs! does not list it",
            job.name
        );
        background.running.replace(Some(Running {
            id: job.id.clone(),
            depth,
        }));
        let result = self.state.invoke(Trigger::Job, None, || jobs.run(&job));
        background.running.take();
        // The transaction that completed the job decides, whatever the handler returned.
        let result = match background.completed.borrow().contains(&job.id) {
            true => Ok(()),
            false => result,
        };
        let error = result.as_ref().err().map(ToString::to_string);
        let now_ms = self.state.now_ms.get();
        let outcome = background.queue.borrow_mut().end(&job.id, result, now_ms);
        if outcome != Outcome::Retry {
            background.steps.borrow_mut().retain(|(of, _), _| *of != job.id);
        }
        Some(Attempt {
            job: job.id,
            name: job.name,
            number: job.attempt,
            outcome,
            error,
        })
    }
}
