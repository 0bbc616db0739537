//! Turns what a guest sent into a draft. All of it is controlled by the guest and checked here.

use mortise_renderer::text_of;

use super::super::Invocation;
use super::super::bindings::email::{Attachment as WantedAttachment, Body, Message};
use super::{NotSent, headers};
use crate::domain::mail::{Attachment, Draft, Unsubscribe};
use crate::domain::mail_address::{Address, Mailbox, Sender};
use crate::domain::units::{ByteSize, as_u64};

/// The most bytes of a subject: it has to fit on a line of a message.
const SUBJECT_BYTES: usize = 900;

/// The most bytes of the name of a file, and of its type.
const NAME_BYTES: usize = 200;

/// The most tags of a mail.
const TAGS: usize = 10;

/// The most bytes of a tag.
const TAG_BYTES: usize = 64;

/// The most bytes of an idempotency key.
const KEY_BYTES: usize = 200;

/// The content of a mail, as the guest wrote it or from a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub subject: String,
    pub text: String,
    pub html: Option<String>,
    /// The template that it comes from.
    pub template: Option<String>,
}

/// Bytes that the guest passed.
pub(super) fn bytes(message: &Message) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let all = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
    let body = match &message.body {
        Body::Content(content) => content.subject.len() + content.text.len() + optional(&content.html),
        Body::Template(template) => template.name.len() + template.values.len(),
    };
    let headers = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len());
    let attachments = message.attachments.iter();
    let attachments = attachments.map(|file| file.name.len() + file.content_type.len() + file.content.len());
    optional(&message.from)
        + all(&message.to)
        + all(&message.cc)
        + all(&message.bcc)
        + optional(&message.reply_to)
        + headers.sum::<usize>()
        + body
        + attachments.sum::<usize>()
        + all(&message.tags)
        + optional(&message.idempotency_key)
}

/// Checks everything of a mail but its content. The draft has no content yet.
pub(super) fn draft(invocation: &Invocation, message: Message) -> Result<(Draft, Body), NotSent> {
    let Message {
        from,
        to,
        cc,
        bcc,
        reply_to,
        headers,
        body,
        attachments,
        tags,
        idempotency_key,
    } = message;
    let from = sender(invocation, from.as_deref())?;
    let most = invocation.limits().mail_recipients;
    let count = to.len() + cc.len() + bcc.len();
    if as_u64(count) > u64::from(most) {
        return Err(NotSent::Limit(format!(
            "the mail has {count} receivers, and the plan allows {most} (`mail_recipients`)"
        )));
    }
    let mut seen = Vec::with_capacity(count);
    let (to, cc, bcc) = (
        mailboxes(&to, &mut seen)?,
        mailboxes(&cc, &mut seen)?,
        mailboxes(&bcc, &mut seen)?,
    );
    if seen.is_empty() {
        return Err(NotSent::Invalid("the mail has no receiver".to_owned()));
    }
    let (headers, unsubscribe) = headers::check(headers)?;
    if unsubscribe == Unsubscribe::AtHost && seen.len() != 1 {
        return Err(NotSent::Invalid(
            "a mail with `list-unsubscribe: one-click` has one receiver, whom its URL names; send one mail to each"
                .to_owned(),
        ));
    }
    let draft = Draft {
        from,
        to,
        cc,
        bcc,
        reply_to: reply_to.as_deref().map(str::parse::<Mailbox>).transpose()?,
        headers,
        subject: String::new(),
        text: String::new(),
        html: None,
        attachments: files(attachments, invocation.limits().mail_attachments)?,
        tags: checked_tags(tags)?,
        template: None,
        idempotency_key: checked_key(idempotency_key)?,
        unsubscribe,
    };
    Ok((draft, body))
}

/// Adds the content to a draft, if the mail is not too large with it. Returns its size.
pub(super) fn complete(draft: &mut Draft, content: Content, most: ByteSize) -> Result<usize, NotSent> {
    let Content {
        subject,
        text,
        html,
        template,
    } = content;
    if subject.len() > SUBJECT_BYTES || subject.chars().any(char::is_control) {
        return Err(NotSent::Invalid(format!(
            "the subject is one line of at most {SUBJECT_BYTES} bytes, without line breaks and control characters"
        )));
    }
    let html = html.filter(|html| !html.trim().is_empty());
    let text = match &html {
        Some(html) if text.trim().is_empty() => text_of(html),
        _ => text,
    };
    if text.trim().is_empty() && html.is_none() && draft.attachments.is_empty() {
        return Err(NotSent::Invalid("the mail has neither text nor HTML".to_owned()));
    }
    let files = draft.attachments.iter().map(|file| file.content.len());
    let size = subject.len() + text.len() + html.as_ref().map_or(0, String::len) + files.sum::<usize>();
    if size > most.as_usize() {
        return Err(NotSent::Limit(format!(
            "the mail has {size} bytes with its files, and the plan allows {most} (`mail_size`)"
        )));
    }
    draft.subject = subject;
    draft.text = text;
    draft.html = html;
    draft.template = template;
    Ok(size)
}

/// The sender, if the tenant granted it.
fn sender(invocation: &Invocation, from: Option<&str>) -> Result<Mailbox, NotSent> {
    let active = &invocation.active;
    let granted = &active.grants.email;
    let from = match from {
        Some(from) => from.parse::<Mailbox>()?,
        None => {
            let address = active.mail_from.clone().ok_or_else(|| {
                NotSent::NotGranted(
                    "the mail has no sender, and the plugin has none that the tenant granted; list one under [email] from \
                     in the manifest, and have the tenant grant it"
                        .to_owned(),
                )
            })?;
            Mailbox { name: None, address }
        }
    };
    if granted.iter().any(|sender| sender.covers(&from.address)) {
        return Ok(from);
    }
    let granted: Vec<String> = granted.iter().map(Sender::to_string).collect();
    Err(NotSent::NotGranted(match granted.is_empty() {
        true => format!(
            "mail from {} is not granted; list it under [email] from in the manifest, and have the tenant grant it",
            from.address
        ),
        false => format!(
            "mail from {} is not granted; the plugin may send from {}",
            from.address,
            granted.join(", ")
        ),
    }))
}

/// Reads receivers. One who was named before is left out.
fn mailboxes(texts: &[String], seen: &mut Vec<Address>) -> Result<Vec<Mailbox>, NotSent> {
    let mut mailboxes = Vec::with_capacity(texts.len());
    for text in texts {
        let mailbox: Mailbox = text.parse()?;
        if !seen.contains(&mailbox.address) {
            seen.push(mailbox.address.clone());
            mailboxes.push(mailbox);
        }
    }
    Ok(mailboxes)
}

fn files(wanted: Vec<WantedAttachment>, most: u32) -> Result<Vec<Attachment>, NotSent> {
    if as_u64(wanted.len()) > u64::from(most) {
        return Err(NotSent::Limit(format!(
            "the mail has {} files, and the plan allows {most} (`mail_attachments`)",
            wanted.len()
        )));
    }
    let check = |file: WantedAttachment| {
        let is_clean = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '"');
        if !(1..=NAME_BYTES).contains(&file.name.len()) || !file.name.chars().all(is_clean) {
            return Err(NotSent::Invalid(format!(
                "the name of a file has 1 to {NAME_BYTES} bytes, and no slashes, quotes or control characters"
            )));
        }
        if !is_content_type(&file.content_type) {
            return Err(NotSent::Invalid(format!(
                "the content type of the file `{}` is none that a mail can carry; write one such as application/pdf",
                file.name
            )));
        }
        Ok(Attachment {
            name: file.name,
            content_type: file.content_type,
            content: file.content,
        })
    };
    wanted.into_iter().map(check).collect()
}

/// Whether the text is `type/subtype`, perhaps with parameters. Parts with parts of their own are
/// refused: a reader would take them for the host's.
fn is_content_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_token = |part: &str| {
        let is_sign = |byte: u8| b"!#$&-^_.+".contains(&byte);
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
    };
    let Some((kind, subtype)) = essence.trim().split_once('/') else {
        return false;
    };
    let is_composite = ["multipart", "message"]
        .iter()
        .any(|composite| kind.eq_ignore_ascii_case(composite));
    let is_printable = |byte: u8| (b' '..=b'~').contains(&byte);
    text.len() <= NAME_BYTES
        && is_token(kind)
        && is_token(subtype)
        && !is_composite
        && parameters.bytes().all(is_printable)
}

fn checked_tags(tags: Vec<String>) -> Result<Vec<String>, NotSent> {
    let is_tag = |tag: &String| (1..=TAG_BYTES).contains(&tag.len()) && !tag.chars().any(char::is_control);
    match tags.len() <= TAGS && tags.iter().all(is_tag) {
        true => Ok(tags),
        false => Err(NotSent::Invalid(format!(
            "a mail has at most {TAGS} tags of 1 to {TAG_BYTES} bytes, without control characters"
        ))),
    }
}

fn checked_key(key: Option<String>) -> Result<Option<String>, NotSent> {
    match &key {
        Some(key) if !(1..=KEY_BYTES).contains(&key.len()) => Err(NotSent::Invalid(format!(
            "the idempotency key has {} bytes, and 1 to {KEY_BYTES} are possible; use a hash of it",
            key.len()
        ))),
        _ => Ok(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_a_file_is_one_part() {
        for good in ["application/pdf", "text/plain; charset=utf-8", "image/svg+xml"] {
            assert!(is_content_type(good), "{good}");
        }
        for wrong in [
            "",
            "pdf",
            "application/",
            "/pdf",
            "application/pdf\r\nBcc: a@b",
            "text/plain; charset=utf-8\r\nX: y",
            "multipart/mixed; boundary=x",
            "Message/rfc822",
            "text/pl ain",
        ] {
            assert!(!is_content_type(wrong), "{wrong}");
        }
    }
}
