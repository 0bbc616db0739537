//! Mail that plugins send.

use std::time::Duration;

use async_trait::async_trait;

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::id::{MailId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::mail::{Mail, MailContent, MailCounts, MailState, NewMail, Outcome};

/// How long a plugin sends no other mail with the idempotency key of one.
pub const MAIL_KEY_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The period in which the mails of a tenant are counted for its limit.
pub const MAIL_HOUR: Duration = Duration::from_secs(60 * 60);

/// The result of adding a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailAdded {
    /// It was added, with its job.
    New(MailId),
    /// The plugin sent this mail with the same key; nothing was added.
    Exists(MailId),
    /// The tenant has sent as many mails within the hour as it may; nothing was added.
    TooMany,
    /// The tenant was purged; nothing was added.
    NoTenant,
}

/// Stored mail. `MailLists` has what people ask of it.
#[async_trait]
pub trait Mails {
    /// Adds a mail and the job that sends it, in one transaction. The plugin sends no other mail
    /// with the same key for [`MAIL_KEY_LIFETIME`], and the tenant at most `hourly` within an hour.
    async fn add_mail(&self, new: &NewMail, job: &NewJob, hourly: u32) -> Result<MailAdded, DbError>;

    /// A mail with its receivers.
    async fn mail(&self, tenant: TenantId, id: MailId) -> Result<Option<Mail>, DbError>;

    /// The content of a mail.
    async fn mail_content(&self, tenant: TenantId, id: MailId) -> Result<Option<MailContent>, DbError>;

    /// Records what became of receivers in an attempt, and how far the mail came. A receiver who
    /// has the mail keeps that state. `false` if there is no such mail.
    async fn note_sent(
        &self,
        tenant: TenantId,
        id: MailId,
        outcomes: &[Outcome],
        state: MailState,
        error: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, DbError>;

    /// Records that a mail is given up: receivers who wait for it get the state `failed`. It counts
    /// as sent if somebody has it. A mail that left the queue stays as it is.
    async fn fail_mail(
        &self,
        tenant: TenantId,
        id: MailId,
        error: &str,
        at: Timestamp,
    ) -> Result<(), DbError>;

    /// How many mails a tenant has, and how many of them it sent since this time.
    async fn mail_counts(&self, tenant: TenantId, since: Timestamp) -> Result<MailCounts, DbError>;

    /// All tenants that have mails, and how many.
    async fn tenants_with_mails(&self) -> Result<Vec<(TenantId, u64)>, DbError>;

    /// Deletes up to `limit` mails from before this time that left the queue. Returns how many.
    async fn prune_mails(&self, before: Timestamp, limit: u32) -> Result<u32, DbError>;

    /// Deletes up to `limit` of a tenant's oldest mails that left the queue, so that `kept` stay.
    /// Returns how many.
    async fn trim_mails(&self, tenant: TenantId, kept: u64, limit: u32) -> Result<u32, DbError>;
}
