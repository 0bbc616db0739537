//! JSON of mail. Addresses, subjects, tags and replies of servers are content, which viewers do not
//! see.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, MailId, PluginName};
use crate::domain::mail::{MailState, RecipientKind, RecipientState};

/// A mail in a list.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MailView {
    /// Id of the mail.
    pub id: MailId,
    /// The plugin that sent it.
    pub plugin: PluginName,
    /// The state.
    pub state: MailState,
    /// The job that sends it.
    pub job: JobId,
    /// Size of the whole message in bytes.
    pub size: u64,
    /// Number of recipients.
    pub recipient_count: u32,
    /// When the plugin sent it.
    pub created_at: Timestamp,
    /// When it was sent, caught, or failed for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The template of the plugin that it was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// The sender. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// All recipients. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Vec<String>>,
    /// The subject. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Tags of the plugin. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Why the last attempt failed. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A mail with what became of it for each recipient.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MailDetail {
    #[serde(flatten)]
    pub mail: MailView,
    /// The recipients.
    pub recipients: Vec<RecipientView>,
    /// The attachments; without names for viewers.
    pub attachments: Vec<AttachmentView>,
    /// The key under which the plugin sent it once. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// Whether addresses, subject and other content are left out, because the caller is a viewer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub content_hidden: bool,
}

/// A recipient of a mail.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecipientView {
    /// The address. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// How the mail names it.
    pub kind: RecipientKind,
    /// What became of the mail for it.
    pub state: RecipientState,
    /// What the server answered. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// When the state was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// An attachment of a mail.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AttachmentView {
    /// Name of the file. Absent for viewers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Media type.
    pub content_type: String,
    /// Size in bytes.
    pub size: u64,
}

/// A mail in an export.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ExportedMail {
    #[serde(flatten)]
    pub mail: MailDetail,
    /// The whole message as it is handed to servers, in base64.
    pub source_base64: String,
}

/// The result of deleting many mails.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeletedMailView {
    /// Number of deleted mails.
    pub deleted: u64,
}
