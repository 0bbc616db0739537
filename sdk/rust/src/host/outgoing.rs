//! Converts mail, and the errors of mail and events, between this crate and the contract's imports.

use crate::bindings::mortise::plugin::{email as wire_email, events as wire_events};
use crate::email::PreparedBody;
use crate::{email, events};

impl From<email::Prepared> for wire_email::Message {
    fn from(mail: email::Prepared) -> Self {
        let email::Prepared { message, body } = mail;
        let attachments = message.attachments.into_iter();
        let attachments = attachments.map(|file| wire_email::Attachment {
            name: file.name,
            content_type: file.content_type,
            content: file.content,
        });
        Self {
            from: message.from,
            to: message.to,
            cc: message.cc,
            bcc: message.bcc,
            reply_to: message.reply_to,
            headers: message.headers,
            body: match body {
                PreparedBody::Content { subject, text, html } => {
                    wire_email::Body::Content(wire_email::Content { subject, text, html })
                }
                PreparedBody::Template { name, values } => {
                    wire_email::Body::Template(wire_email::Template { name, values })
                }
            },
            attachments: attachments.collect(),
            tags: message.tags,
            idempotency_key: message.idempotency_key,
        }
    }
}

impl From<wire_email::Error> for email::Error {
    fn from(error: wire_email::Error) -> Self {
        match error {
            wire_email::Error::Invalid(why) => Self::Invalid(why),
            wire_email::Error::NotGranted(why) => Self::NotGranted(why),
            wire_email::Error::Limit(why) => Self::Limit(why),
            wire_email::Error::Unavailable(why) => Self::Unavailable(why),
            wire_email::Error::Other(why) => Self::Other(why),
        }
    }
}

impl From<wire_events::Error> for events::Error {
    fn from(error: wire_events::Error) -> Self {
        match error {
            wire_events::Error::Invalid(why) => Self::Invalid(why),
            wire_events::Error::NotGranted(why) => Self::NotGranted(why),
            wire_events::Error::TooLarge => Self::TooLarge,
            wire_events::Error::Limit(why) => Self::Limit(why),
            wire_events::Error::Unavailable(why) => Self::Unavailable(why),
            wire_events::Error::Other(why) => Self::Other(why),
        }
    }
}
