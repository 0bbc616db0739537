//! Jobs that a plugin adds: background work that the host stores and runs at least once.
//!
//! `build.rs` turns what the guest sent into a job and checks it, for jobs that are added at once
//! and for those of a transaction. `queue.rs` is the queue as host calls use it.

mod build;
mod host;
pub mod queue;

pub use build::Added;
pub use host::{JobsView, add_to_linker};
pub use queue::{JobQueue, PublishError, QueueError};

pub(super) use build::{build, bytes, check_added, next_depth};

use super::HostCallRefused;
use crate::domain::units::ByteSize;

/// Why a job was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEnqueued {
    /// The plugin has no such kind of job.
    #[error("the manifest of the plugin has no job `{name}`; {hint}")]
    UnknownJob {
        /// The name that the guest sent, cut.
        name: String,
        /// The names that it could have sent.
        hint: String,
    },
    /// A value of the job is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The payload is too large.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// The queue cannot be written.
    #[error("{0}")]
    Unavailable(String),
}

/// A payload is too large.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// For a job or an event.
    #[error(
        "the payload has {0} bytes, and the plan allows {1} (`job_payload`); store the data and pass its key"
    )]
    Payload(usize, ByteSize),
    /// For a host call.
    #[error("{0}")]
    Call(HostCallRefused),
}

/// A limit of jobs and events is reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitReached {
    /// The invocation added as many jobs and events as it may.
    #[error("this invocation has added its {0} jobs and events (`jobs_enqueued`)")]
    Count(u32),
    /// Too many jobs led to each other.
    #[error(
        "{0} jobs and events led to this one, and the plan allows a chain of {1} (`job_depth`); jobs that add jobs \
         need an end"
    )]
    Depth(u32, u32),
}

impl From<QueueError> for NotEnqueued {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { .. } => Self::Limit(error.to_string()),
            QueueError::Unavailable => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<LimitReached> for NotEnqueued {
    fn from(error: LimitReached) -> Self {
        Self::Limit(error.to_string())
    }
}

impl From<TooLarge> for NotEnqueued {
    fn from(error: TooLarge) -> Self {
        Self::TooLarge(error)
    }
}

impl From<HostCallRefused> for NotEnqueued {
    fn from(error: HostCallRefused) -> Self {
        match error {
            HostCallRefused::Spent(_) => Self::Limit(error.to_string()),
            HostCallRefused::TooLarge(..) => Self::TooLarge(TooLarge::Call(error)),
        }
    }
}
