//! Events that a plugin publishes: each plugin of the tenant that subscribes to the topic gets a
//! job.

mod host;

pub use host::{EventsView, add_to_linker};

use super::jobs::{LimitReached, PublishError, QueueError, TooLarge, check_added, next_depth};
use super::{HostCallRefused, Invocation};
use crate::domain::event::{Event, InvalidTopic, Topic};
use crate::domain::id::EventId;
use crate::domain::outbox::PublishedEvent;

/// Why an event was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// The text is no topic.
    #[error("{0}")]
    Invalid(#[from] InvalidTopic),
    /// The tenant has not granted the topic.
    #[error(
        "the topic `{0}` is not granted to the plugin; list it or a pattern for it as `publish` under [events] in the \
         manifest, and grant it"
    )]
    NotGranted(Topic),
    /// The data is too large.
    #[error("{0}")]
    TooLarge(#[from] TooLarge),
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// The job queue cannot be written.
    #[error("{0}")]
    Unavailable(String),
}

/// Builds the event that the running plugin wants to publish, if it may. The topic and the data are
/// controlled by the guest.
pub(super) fn build(
    invocation: &Invocation,
    topic: &str,
    data: String,
) -> Result<PublishedEvent, NotPublished> {
    let topic: Topic = topic.parse()?;
    let mut granted = invocation.active.grants.events.iter();
    if !granted.any(|pattern| pattern.matches(&topic)) {
        return Err(NotPublished::NotGranted(topic));
    }
    check_added::<NotPublished>(invocation, data.len())?;
    Ok(PublishedEvent {
        event: Event {
            id: EventId::generate(),
            source: invocation.active.plugin.clone(),
            topic,
            time: invocation.clock.now(),
        },
        data,
        depth: next_depth(invocation)?,
        traceparent: invocation.traceparent.clone(),
    })
}

impl From<LimitReached> for NotPublished {
    fn from(error: LimitReached) -> Self {
        Self::Limit(error.to_string())
    }
}

impl From<QueueError> for NotPublished {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { .. } => Self::Limit(error.to_string()),
            QueueError::Unavailable => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<PublishError> for NotPublished {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::TooManyReceivers => Self::Limit(error.to_string()),
            PublishError::Queue(error) => error.into(),
        }
    }
}

impl From<HostCallRefused> for NotPublished {
    fn from(error: HostCallRefused) -> Self {
        match error {
            HostCallRefused::Spent(_) => Self::Limit(error.to_string()),
            HostCallRefused::TooLarge(..) => Self::TooLarge(TooLarge::Call(error)),
        }
    }
}
