//! Mail that plugins send: what is stored of it, and how far it came.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{JobId, MailId, PluginName, TenantId};
use super::mail_address::{Address, Mailbox};

/// A mail as a plugin wants to send it, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The sender.
    pub from: Mailbox,
    /// The receivers that everybody sees.
    pub to: Vec<Mailbox>,
    /// Further receivers that everybody sees.
    pub cc: Vec<Mailbox>,
    /// Receivers that nobody else sees.
    pub bcc: Vec<Mailbox>,
    /// Where answers go.
    pub reply_to: Option<Mailbox>,
    /// Further headers. None of them has a line break, and the host makes none of them itself.
    pub headers: Vec<(String, String)>,
    /// The subject, one line.
    pub subject: String,
    /// The text. Each mail has one.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// Files.
    pub attachments: Vec<Attachment>,
    /// For people and statistics; the receiver does not see them.
    pub tags: Vec<String>,
    /// The template that the content comes from.
    pub template: Option<String>,
    /// A mail of the plugin with the key of an earlier one is not sent again.
    pub idempotency_key: Option<String>,
    /// How its receiver unsubscribes.
    pub unsubscribe: Unsubscribe,
}

/// How the receiver of a mail unsubscribes with one click (RFC 8058).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unsubscribe {
    /// The mail says nothing of it.
    #[default]
    No,
    /// At a URL of the host, which suppresses the address.
    AtHost,
    /// As the plugin says: the value of `List-Unsubscribe`.
    At(String),
}

/// A file of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name of the file.
    pub name: String,
    /// The type of its content.
    pub content_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

/// A mail that is to be stored and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    /// What lists show of it.
    pub mail: Mail,
    /// Its content.
    pub content: MailContent,
}

/// A stored mail, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Its id.
    pub id: MailId,
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin that sends it.
    pub plugin: PluginName,
    /// The address that it comes from.
    pub from: Address,
    /// The subject.
    pub subject: String,
    /// For people and statistics.
    pub tags: Vec<String>,
    /// The template that the content comes from.
    pub template: Option<String>,
    /// How far it came.
    pub state: MailState,
    /// The job that sends it, or sent it last.
    pub job: JobId,
    /// Bytes of the message as it is sent.
    pub size: u64,
    /// Its files.
    pub attachments: Vec<AttachmentInfo>,
    /// The key under which the plugin sends no other mail.
    pub idempotency_key: Option<String>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// When it left the queue.
    pub ended_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Its receivers.
    pub recipients: Vec<Recipient>,
}

/// What is stored of a file beside the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AttachmentInfo {
    /// The name of the file.
    pub name: String,
    /// The type of its content.
    pub content_type: String,
    /// Its bytes.
    pub size: u64,
}

/// The content of a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct MailContent {
    /// The text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
    /// The message as it is sent.
    pub source: Vec<u8>,
}

/// A receiver of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The address.
    pub address: Address,
    /// Where the address stands.
    pub kind: RecipientKind,
    /// How far the mail came.
    pub state: RecipientState,
    /// What the server said last.
    pub reply: Option<String>,
    /// When the state changed.
    pub at: Option<Timestamp>,
}

/// What became of one receiver in an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The address.
    pub address: Address,
    /// The new state.
    pub state: RecipientState,
    /// What the server said.
    pub reply: Option<String>,
}

macro_rules! states {
    ($(#[doc = $doc:literal])+ $name:ident {
        $($(#[doc = $about:literal])+ $variant:ident = $text:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(Serialize, Deserialize, utoipa::ToSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[doc = $about])+ $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name as it is stored and written in JSON.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// The one with this name.
            pub fn named(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|state| state.as_str() == text)
            }
        }
    };
}

states! {
    /// How far a mail came.
    MailState {
        /// Its job waits or runs.
        Queued = "queued",
        /// A server took it for at least one receiver.
        Sent = "sent",
        /// There is no server, so it is kept and not sent.
        Caught = "caught",
        /// It was sent to nobody. Its job is a dead letter, or was cancelled.
        Failed = "failed",
    }
}

states! {
    /// Where an address stands in a mail.
    RecipientKind {
        /// In `To`.
        To = "to",
        /// In `Cc`.
        Cc = "cc",
        /// Nowhere.
        Bcc = "bcc",
    }
}

states! {
    /// How far a mail came for one receiver.
    RecipientState {
        /// It is still to be sent.
        Pending = "pending",
        /// The server took it.
        Accepted = "accepted",
        /// There is no server, so it was kept.
        Caught = "caught",
        /// The server refused it for good.
        Refused = "refused",
        /// The address is on the suppression list, so it was not sent.
        Suppressed = "suppressed",
        /// It was given up.
        Failed = "failed",
    }
}

/// How many mails a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailCounts {
    /// Stored mails.
    pub kept: u64,
    /// Mails that were accepted since the time that was asked for.
    pub recent: u64,
}

impl RecipientState {
    /// Whether the mail reached its goal: a server, or the catcher.
    pub fn is_taken(self) -> bool {
        matches!(self, Self::Accepted | Self::Caught)
    }
}

impl Mail {
    /// The receivers to whom it is still to be sent.
    pub fn pending(&self) -> Vec<Address> {
        let pending = self.recipients.iter();
        let pending = pending.filter(|recipient| recipient.state == RecipientState::Pending);
        pending.map(|recipient| recipient.address.clone()).collect()
    }
}

/// Contents are for those who may see them, never for a log.
impl std::fmt::Debug for MailContent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("MailContent")
            .field("bytes", &self.source.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_states_are_those_of_json() {
        for state in RecipientState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(RecipientState::named(state.as_str()), Some(*state));
        }
        for state in MailState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(MailState::named("gone"), None);
    }
}
