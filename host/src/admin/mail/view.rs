//! Mail as the admin API shows it: viewers do not see what concerns the people who get it.

use super::super::jobs::view::Content;
use crate::domain::mail::{Mail, Recipient};
use crate::wire::mail::{AttachmentView, MailDetail, MailView, RecipientView};

impl MailView {
    /// A mail in a list.
    pub(in crate::admin) fn new(mail: Mail, content: Content) -> Self {
        let Mail {
            id,
            plugin,
            from,
            subject,
            tags,
            template,
            state,
            job,
            size,
            created_at,
            ended_at,
            error,
            recipients,
            ..
        } = mail;
        let address = |recipient: &Recipient| recipient.address.to_string();
        Self {
            id,
            plugin,
            state,
            job,
            size,
            recipient_count: u32::try_from(recipients.len()).unwrap_or(u32::MAX),
            created_at,
            ended_at,
            template,
            from: content.of(Some(from.to_string())),
            to: content.of(Some(recipients.iter().map(address).collect())),
            subject: content.of(Some(subject)),
            tags: content.of(Some(tags)),
            error: content.of(error),
        }
    }
}

impl MailDetail {
    /// A mail with its recipients and attachments.
    pub(in crate::admin) fn new(mut mail: Mail, content: Content) -> Self {
        let attachments = std::mem::take(&mut mail.attachments);
        let idempotency_key = mail.idempotency_key.take();
        let recipient = |recipient: &Recipient| RecipientView {
            address: content.of(Some(recipient.address.to_string())),
            kind: recipient.kind,
            state: recipient.state,
            reply: content.of(recipient.reply.clone()),
            at: recipient.at,
        };
        Self {
            recipients: mail.recipients.iter().map(recipient).collect(),
            attachments: attachments
                .into_iter()
                .map(|attachment| AttachmentView {
                    name: content.of(Some(attachment.name)),
                    content_type: attachment.content_type,
                    size: attachment.size,
                })
                .collect(),
            idempotency_key: content.of(idempotency_key),
            content_hidden: content == Content::Hidden,
            mail: MailView::new(mail, content),
        }
    }
}
