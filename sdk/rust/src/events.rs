//! Events to the plugins of the same tenant that subscribe to them.
//!
//! A plugin publishes on the topics that its manifest lists under `[events] publish` and the tenant
//! granted. Each plugin that subscribes to a topic (`[[subscribe]]`) gets a job for each event,
//! also the one that published it. The job's handler takes an [`Event`].
//!
//! A topic has segments with dots between them, such as `order.created`. In patterns, `*` stands
//! for one segment and `>` at the end for one or more.
//!
//! ```
//! use mortise_sdk::events::{self, Event};
//! use mortise_sdk::prelude::*;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Paid {
//!     order: i64,
//! }
//!
//! fn on_paid(event: Event<Paid>) -> Result<(), Error> {
//!     log::info("Paid", &[("order", &event.data.order), ("by", &event.source)]);
//!     Ok(())
//! }
//! # use mortise_sdk::log;
//!
//! mortise_sdk::jobs! { "on-paid" => on_paid }
//!
//! let host = mortise_sdk::testing::Host::builder()
//!     .subscribe("payment.*", "on-paid")
//!     .start();
//! events::publish("payment.settled", &Paid { order: 7 })?;
//! assert_eq!(host.run_jobs(&JOBS).len(), 1);
//! assert_eq!(host.logs()[0].message, "Paid");
//! # Ok::<(), events::Error>(())
//! ```

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host::{Backend, Host};
use crate::jobs::{FromJob, Job, JobError, Origin};

/// An event that another plugin, or this one, published. It is the argument of a job's handler.
///
/// ```
/// use mortise_sdk::events::Event;
/// use mortise_sdk::jobs::{FromJob, Job, Origin};
///
/// let origin = Origin::Event {
///     id: "1".into(),
///     topic: "payment.settled".into(),
///     source: "payments".into(),
///     time: 0,
/// };
/// let job = Job { payload: "990".into(), origin, ..Job::default() };
/// let event = Event::<i64>::from_job(&job)?;
/// assert_eq!((event.topic.as_str(), event.data), ("payment.settled", 990));
/// # Ok::<(), mortise_sdk::jobs::JobError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// The id, which is the same for all subscribers and all attempts.
    pub id: String,
    /// The topic.
    pub topic: String,
    /// The plugin that published it.
    pub source: String,
    /// When it was published, in milliseconds since 1970 UTC.
    pub time: i64,
    /// The data.
    pub data: T,
}

/// An event that was not published.
///
/// If a handler returns it through `?`, the response is a 500 and the cause is logged;
/// [`Unavailable`](Self::Unavailable) is a 503 with `Retry-After`.
///
/// ```
/// use mortise_sdk::events::Error;
///
/// assert_eq!(Error::TooLarge.to_string(), "the data of the event is too large");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The text is no topic, or the data cannot be written as JSON.
    Invalid(String),
    /// The tenant has not granted the plugin to publish on this topic.
    NotGranted(String),
    /// The data is larger than the plan allows for a job.
    TooLarge,
    /// The invocation has added as many jobs and events as it may, the tenant's backlog is full,
    /// the event has too many receivers, or too many jobs led to it.
    Limit(String),
    /// The queue cannot be written.
    Unavailable(String),
    /// An error that this version of the SDK does not know.
    Other(String),
}

/// Publishes an event on a topic, with data that is written as JSON. Returns its id once the jobs
/// of all subscribers are stored. [`Transaction::publish`](crate::db::Transaction::publish)
/// publishes it if and only if the transaction commits.
///
/// ```
/// # let host = mortise_sdk::testing::Host::start();
/// use mortise_sdk::events;
///
/// let id = events::publish("order.created", &7)?;
/// assert_eq!((host.events()[0].id.as_str(), host.events()[0].topic.as_str()), (id.as_str(), "order.created"));
/// # Ok::<(), events::Error>(())
/// ```
pub fn publish<T: Serialize + ?Sized>(topic: &str, data: &T) -> Result<String, Error> {
    Host::publish(topic, to_json(data).map_err(Error::Invalid)?)
}

/// The data of an event as it is stored.
pub(crate) fn to_json<T: Serialize + ?Sized>(data: &T) -> Result<String, String> {
    serde_json::to_string(data).map_err(|error| format!("the data cannot be written as JSON: {error}"))
}

impl<T: DeserializeOwned> FromJob for Event<T> {
    fn from_job(job: &Job) -> Result<Self, JobError> {
        let Origin::Event {
            id,
            topic,
            source,
            time,
        } = &job.origin
        else {
            return Err(JobError::discard(
                "the job takes an event, and no event caused it",
            ));
        };
        Ok(Self {
            data: job.parse_payload()?,
            id: id.clone(),
            topic: topic.clone(),
            source: source.clone(),
            time: *time,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(formatter, "the event is invalid: {why}"),
            Self::NotGranted(why) => write!(formatter, "the event is not granted: {why}"),
            Self::TooLarge => formatter.write_str("the data of the event is too large"),
            Self::Limit(why) => write!(formatter, "a limit of events was reached: {why}"),
            Self::Unavailable(why) => write!(formatter, "events are unavailable: {why}"),
            Self::Other(why) => write!(formatter, "the event was not published: {why}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_of_an_event_discards_other_jobs() {
        let read = Event::<()>::from_job(&Job::default());
        assert!(matches!(read, Err(JobError::Discard(_))), "{read:?}");
    }
}
