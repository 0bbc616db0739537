//! Mail that a plugin sends from the addresses that the tenant granted.
//!
//! `build.rs` checks what the guest sent and turns it into a draft; `headers.rs` checks the
//! headers, so that none of them brings others in. `queue.rs` is what takes mail, as host calls use
//! it: it stores the mail with the job that sends it.

mod build;
mod headers;
mod host;
pub mod queue;

pub use host::{EmailView, add_to_linker};
pub use queue::{MailQueue, MailRefused, MailSender};

use super::HostCallRefused;
use crate::domain::mail_address::InvalidAddress;
use crate::domain::template::RenderError;

/// Why a mail was not taken. The texts are shown to the guest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// A value of the mail is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The tenant or the operator does not allow it.
    #[error("{0}")]
    NotGranted(String),
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// The mail cannot be stored now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<HostCallRefused> for NotSent {
    fn from(error: HostCallRefused) -> Self {
        Self::Limit(error.to_string())
    }
}

impl From<InvalidAddress> for NotSent {
    fn from(error: InvalidAddress) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<MailRefused> for NotSent {
    fn from(error: MailRefused) -> Self {
        match error {
            MailRefused::Sender(_) => Self::NotGranted(error.to_string()),
            MailRefused::Message(_) => Self::Invalid(error.to_string()),
            MailRefused::Hourly(_) | MailRefused::Queue(_) => Self::Limit(error.to_string()),
            MailRefused::Unavailable => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<RenderError> for NotSent {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Unknown(_) | RenderError::Values(_) | RenderError::Failed(_) => {
                Self::Invalid(error.to_string())
            }
            RenderError::Limit(_) => Self::Limit(error.to_string()),
            RenderError::Unavailable(_) => Self::Unavailable(error.to_string()),
        }
    }
}
