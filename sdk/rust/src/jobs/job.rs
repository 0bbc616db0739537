//! A job as its handler sees it.

use serde::de::DeserializeOwned;

use super::JobError;
use crate::json;

/// The running job. A handler takes it as its second argument.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn sync(order: i64, job: &Job) -> Result<(), Error> {
///     http::post("https://erp.example/orders")
///         .header("idempotency-key", &job.id)
///         .json(&order)
///         .send()?
///         .error_for_status()?;
///     Ok(())
/// }
/// # let _host = mortise_sdk::testing::Host::builder().http(|_| Ok(http::Response::new(201))).start();
/// # assert!(sync(7, &Job::default()).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The id, which is the same for all attempts.
    pub id: String,
    /// The name in the manifest.
    pub name: String,
    /// The payload as it was stored.
    pub payload: String,
    /// Why the job exists.
    pub origin: Origin,
    /// The number of this attempt: 1 for the first one. Attempts that the host lost count too.
    pub attempt: u32,
    /// How often the job is run at most.
    pub max_attempts: u32,
}

/// Why a job exists.
///
/// ```
/// use mortise_sdk::jobs::{Job, Origin};
///
/// assert_eq!(Job::default().origin, Origin::Enqueued);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The plugin enqueued it.
    Enqueued,
    /// A schedule of the manifest was due.
    Schedule {
        /// The name of the schedule.
        name: String,
        /// When it was due, in milliseconds since 1970 UTC. A job that runs late still has the time
        /// of its schedule.
        due_at: i64,
    },
    /// The plugin subscribes to an event. Take an [`Event`](crate::events::Event) as the handler's
    /// argument to get its data too.
    Event {
        /// The id, which is the same for all subscribers.
        id: String,
        /// The topic.
        topic: String,
        /// The plugin that published it.
        source: String,
        /// When it was published, in milliseconds since 1970 UTC.
        time: i64,
    },
    /// A webhook was called. No host adds such jobs yet.
    Webhook {
        /// The name of the webhook.
        name: String,
        /// The headers of the call, with lower-case names.
        headers: Vec<(String, String)>,
    },
}

impl Job {
    /// Parses the payload from JSON. A handler's first argument does the same. A payload that does
    /// not parse discards the job. `{}` also parses as `()`, because it is the default payload of
    /// schedules.
    ///
    /// ```
    /// use mortise_sdk::jobs::{Job, JobError};
    ///
    /// let job = Job { payload: "[1, 2]".into(), ..Job::default() };
    /// assert_eq!(job.parse_payload::<Vec<u8>>(), Ok(vec![1, 2]));
    /// assert!(matches!(job.parse_payload::<bool>(), Err(JobError::Discard(_))));
    /// ```
    pub fn parse_payload<T: DeserializeOwned>(&self) -> Result<T, JobError> {
        json::from_slice(self.payload.as_bytes())
            .or_else(|why| match self.payload.trim() {
                "{}" => serde_json::from_str("null").map_err(|_| why),
                _ => Err(why),
            })
            .map_err(|why| JobError::Discard(format!("the payload is not what the job expects: {why}")))
    }

    /// Whether the job becomes a dead letter if this attempt fails.
    ///
    /// ```
    /// use mortise_sdk::jobs::Job;
    ///
    /// let job = Job { attempt: 8, max_attempts: 8, ..Job::default() };
    /// assert!(job.is_last_attempt());
    /// ```
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.max_attempts
    }
}

/// The first attempt of a job without a name and with the payload `null`, for tests that call a
/// handler directly.
impl Default for Job {
    fn default() -> Self {
        Self {
            id: String::new(),
            name: String::new(),
            payload: "null".to_owned(),
            origin: Origin::Enqueued,
            attempt: 1,
            max_attempts: 8,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_payload(payload: &str) -> Job {
        Job {
            payload: payload.to_owned(),
            ..Job::default()
        }
    }

    #[test]
    fn a_payload_of_another_form_discards_the_job_and_names_the_place() {
        let parsed = with_payload("[1, \"x\"]").parse_payload::<Vec<u8>>();
        assert!(
            matches!(&parsed, Err(JobError::Discard(why)) if why.contains("/1")),
            "{parsed:?}"
        );
    }

    #[test]
    fn the_default_payload_of_schedules_is_also_nothing() {
        assert_eq!(with_payload("{}").parse_payload::<()>(), Ok(()));
        assert_eq!(with_payload("null").parse_payload::<()>(), Ok(()));
        assert!(with_payload("[]").parse_payload::<()>().is_err());
        assert!(with_payload("{}").parse_payload::<u8>().is_err());
    }
}
