//! What takes mail, as host calls use it.

use async_trait::async_trait;

use crate::domain::id::{MailId, PluginName, TenantId, TenantName};
use crate::domain::limits::Limits;
use crate::domain::mail::Draft;

/// Who sends a mail.
#[derive(Clone, Copy, Debug)]
pub struct MailSender<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// Its name, for URLs.
    pub tenant_name: &'a TenantName,
    /// The plugin.
    pub plugin: &'a PluginName,
    /// The trace of the invocation.
    pub traceparent: Option<&'a str>,
}

/// Why a mail is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailRefused {
    /// The operator lets the tenant send from other domains only.
    #[error(
        "the operator of this host lets the tenant send no mail from the domain `{0}`; ask for it, or send from a \
         domain of `mortise mail sender-domains show`"
    )]
    Sender(String),
    /// The message cannot be composed.
    #[error("the mail cannot be composed: {0}")]
    Message(String),
    /// The tenant has sent too many mails just now.
    #[error("the tenant has sent the {0} mails that its plan allows within an hour (`mails_per_hour`)")]
    Hourly(u32),
    /// The tenant has too many jobs.
    #[error("{0}")]
    Queue(String),
    /// The mail cannot be stored.
    #[error("the mail cannot be stored now; try again")]
    Unavailable,
}

/// Takes mail.
#[async_trait]
pub trait MailQueue: Send + Sync + 'static {
    /// Stores a mail and the job that sends it. Returns its id once both are durable, or that of
    /// the mail that the plugin sent with the same key.
    async fn add(&self, sender: MailSender<'_>, draft: Draft, limits: &Limits)
    -> Result<MailId, MailRefused>;
}
