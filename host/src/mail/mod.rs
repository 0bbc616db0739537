//! Mail: composes what plugins send, and hands it over to a mail server.
//!
//! [`MailIntake`] takes mail from host calls: it composes the message once, and stores it with the
//! job that sends it. [`MailHandler`] runs that job. [`MailServers`] decides where a mail goes: to
//! the tenant's server, to that of the host, or into the catcher, which keeps it and sends nothing.
//! `smtp` speaks with servers.
//!
//! A mail that was handed over and not acknowledged is handed over again, with the same
//! `Message-ID`. What became of each receiver is stored, so a receiver who has the mail does not
//! get it again because another one has not.

mod caught;
mod compose;
mod handler;
mod intake;
mod retention;
mod route;
mod smtp;

pub use handler::MailHandler;
pub use intake::MailIntake;
pub use retention::MailRetention;
pub use route::{Login, MailServers, Server};
pub use smtp::Smtp;

use crate::domain::mail_address::Address;

/// What a server said about one receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Verdict {
    address: Address,
    answer: Answer,
}

/// An answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    /// It took the mail.
    Taken(String),
    /// The catcher kept the mail.
    Caught,
    /// It does not take the mail now.
    Deferred(String),
    /// It never takes the mail.
    Refused {
        /// What it said.
        reply: String,
        /// Whether there is no such address, so that no other mail would be taken either.
        is_unknown: bool,
    },
}

/// No server took the mail, and none said why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
struct Failure {
    /// A sentence for the tenant.
    why: String,
    /// Whether the connection failed before the message was on its way, so that a new one is worth
    /// a try at once.
    is_repeatable: bool,
}

impl Failure {
    fn connection(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_repeatable: true,
        }
    }

    fn lasting(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_repeatable: false,
        }
    }
}
