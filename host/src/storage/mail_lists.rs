//! What people ask of stored mail: lists, searches, deletions, and sending again.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{MailId, PluginName, TenantId};
use crate::domain::job::NewJob;
use crate::domain::mail::{Mail, MailState};
use crate::domain::suppression::AddressKey;

/// A filter for lists of mail and for deletions of many. All given conditions must match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailFilter {
    /// Only of this plugin.
    pub plugin: Option<PluginName>,
    /// Only in one of these states; empty for all.
    pub states: Vec<MailState>,
    /// Only with this recipient.
    pub recipient: Option<AddressKey>,
    /// Only with this tag.
    pub tag: Option<String>,
    /// Only with this text in the subject, the text part or an address, whatever its case.
    pub text: Option<String>,
    /// Only added at this time or later.
    pub from: Option<Timestamp>,
    /// Only added before this time.
    pub to: Option<Timestamp>,
}

/// A place in a list of mail: newest first by id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailPosition(pub MailId);

/// The result of sending a mail again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resent {
    /// Its new job was added.
    Queued,
    /// It waits for its job already; nothing changed.
    Waits,
}

/// How many mails all tenants have, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MailTotals {
    /// They wait for their job.
    pub queued: u64,
    /// The catcher keeps them.
    pub caught: u64,
    /// They failed for good.
    pub failed: u64,
}

/// Queries and changes of stored mail.
#[async_trait]
pub trait MailLists {
    /// A page of a tenant's mail, the newest first, without contents.
    async fn mails(
        &self,
        tenant: TenantId,
        filter: &MailFilter,
        page: Page<MailPosition>,
    ) -> Result<Vec<Mail>, DbError>;

    /// Sends a mail again by a new job: to the recipients that did not accept it, or to all if all
    /// have. `None` if there is no such mail.
    async fn resend_mail(
        &self,
        tenant: TenantId,
        id: MailId,
        job: &NewJob,
        change: &Change,
    ) -> Result<Option<Resent>, DbError>;

    /// Deletes a mail with its content. If it waits, it is not sent any more. `false` if there is
    /// no such mail.
    async fn delete_mail(&self, tenant: TenantId, id: MailId, change: &Change) -> Result<bool, DbError>;

    /// Deletes up to `limit` mails that match, with their contents. Returns how many.
    async fn delete_mails(
        &self,
        tenant: TenantId,
        filter: &MailFilter,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError>;

    /// The mail of all tenants in numbers.
    async fn mail_totals(&self) -> Result<MailTotals, DbError>;
}
