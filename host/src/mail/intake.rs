//! Takes mail from host calls: composes it, and stores it with the job that sends it.

use std::sync::Arc;

use async_trait::async_trait;

use super::compose::compose;
use super::route::{MailServers, NoRoute};
use crate::capability::email::{MailQueue, MailRefused, MailSender};
use crate::capability::jobs::{JobQueue as _, QueueError};
use crate::causes::with_causes;
use crate::domain::clock::SharedClock;
use crate::domain::host_job::HostJob;
use crate::domain::id::{JobId, MailId};
use crate::domain::limits::Limits;
use crate::domain::mail::{
    AttachmentInfo, Draft, Mail, MailContent, MailState, NewMail, Recipient, RecipientKind, RecipientState,
    Unsubscribe,
};
use crate::domain::mail_address::Mailbox;
use crate::domain::public_url::PublicUrl;
use crate::domain::suppression::AddressKey;
use crate::domain::units::as_u64;
use crate::jobs::Queue;
use crate::metrics::MailCounters;
use crate::storage::{Added, DbError, MailAdded, Repository};

/// Takes the mail of plugins.
pub struct MailIntake {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// Where mail goes.
    pub servers: Arc<MailServers>,
    /// The job queue.
    pub queue: Arc<Queue>,
    /// Counts mail.
    pub counters: Arc<MailCounters>,
    /// Where receivers unsubscribe.
    pub public_url: Arc<PublicUrl>,
    /// The clock.
    pub clock: SharedClock,
}

#[async_trait]
impl MailQueue for MailIntake {
    async fn add(
        &self,
        sender: MailSender<'_>,
        draft: Draft,
        limits: &Limits,
    ) -> Result<MailId, MailRefused> {
        let tenant = sender.tenant;
        self.queue.has_room(tenant, 1, limits)?;
        match self.servers.route(tenant, &draft.from.address).await {
            // A wrong password is no fault of the plugin: the mail waits until it is right.
            Ok(_) | Err(NoRoute::NoPassword(_) | NoRoute::Vault(_)) => {}
            Err(NoRoute::Sender(domain)) => return Err(MailRefused::Sender(domain)),
            Err(NoRoute::Db(error)) => return Err(unavailable(&error)),
        }
        let unsubscribe = self.unsubscribe(&sender, &draft).await?;
        let (id, now) = (MailId::generate(), self.clock.now());
        let source = compose(&draft, id, now, unsubscribe.as_deref()).map_err(MailRefused::Message)?;
        let mut job = HostJob::Mail.job(tenant, id.to_string(), now);
        job.traceparent = sender.traceparent.map(str::to_owned);
        let new = stored(&sender, draft, source, id, job.id, now);
        let added = self.db.add_mail(&new, &job, limits.mails_per_hour).await;
        match added.map_err(|error| unavailable(&error))? {
            MailAdded::New(id) => {
                self.queue.note_added(tenant, &[Added::New(job.id)]);
                self.counters.queued();
                Ok(id)
            }
            MailAdded::Exists(id) => Ok(id),
            MailAdded::TooMany => Err(MailRefused::Hourly(limits.mails_per_hour)),
            MailAdded::NoTenant => Err(MailRefused::Unavailable),
        }
    }
}

impl MailIntake {
    /// The value of `List-Unsubscribe`.
    async fn unsubscribe(
        &self,
        sender: &MailSender<'_>,
        draft: &Draft,
    ) -> Result<Option<String>, MailRefused> {
        match &draft.unsubscribe {
            Unsubscribe::No => Ok(None),
            Unsubscribe::At(urls) => Ok(Some(urls.clone())),
            Unsubscribe::AtHost => {
                let receiver = draft.to.iter().chain(&draft.cc).chain(&draft.bcc).next();
                // The capability has checked that there is one.
                let Some(receiver) = receiver else {
                    return Ok(None);
                };
                let key: AddressKey = receiver
                    .address
                    .as_str()
                    .parse()
                    .map_err(|_| MailRefused::Message("its receiver cannot unsubscribe".to_owned()))?;
                let signs = self.db.unsubscribe_key(sender.tenant).await;
                let token = signs
                    .map_err(|error| unavailable(&error))?
                    .token(sender.tenant, &key);
                let url = self.public_url.of_unsubscribe(sender.tenant_name, &token);
                Ok(Some(format!("<{url}>")))
            }
        }
    }
}

/// The mail as it is stored.
fn stored(
    sender: &MailSender<'_>,
    draft: Draft,
    source: Vec<u8>,
    id: MailId,
    job: JobId,
    now: crate::domain::clock::Timestamp,
) -> NewMail {
    let attachments = draft.attachments.iter().map(|file| AttachmentInfo {
        name: file.name.clone(),
        content_type: file.content_type.clone(),
        size: as_u64(file.content.len()),
    });
    let recipients = [
        (RecipientKind::To, &draft.to),
        (RecipientKind::Cc, &draft.cc),
        (RecipientKind::Bcc, &draft.bcc),
    ];
    let recipients = recipients.into_iter().flat_map(|(kind, mailboxes)| {
        mailboxes.iter().map(move |mailbox: &Mailbox| Recipient {
            address: mailbox.address.clone(),
            kind,
            state: RecipientState::Pending,
            reply: None,
            at: None,
        })
    });
    let mail = Mail {
        id,
        tenant: sender.tenant,
        plugin: sender.plugin.clone(),
        from: draft.from.address.clone(),
        subject: draft.subject.clone(),
        tags: draft.tags.clone(),
        template: draft.template.clone(),
        state: MailState::Queued,
        job,
        size: as_u64(source.len()),
        attachments: attachments.collect(),
        idempotency_key: draft.idempotency_key.clone(),
        created_at: now,
        ended_at: None,
        error: None,
        recipients: recipients.collect(),
    };
    NewMail {
        mail,
        content: MailContent {
            text: draft.text,
            html: draft.html,
            source,
        },
    }
}

fn unavailable(error: &DbError) -> MailRefused {
    tracing::error!(
        error = with_causes(error),
        "mail cannot be stored; plugins get `unavailable`"
    );
    MailRefused::Unavailable
}

impl From<QueueError> for MailRefused {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full { .. } => Self::Queue(error.to_string()),
            QueueError::Unavailable => Self::Unavailable,
        }
    }
}
