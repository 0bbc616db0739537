//! Composes the message of a draft: headers, texts and files as a mail server takes them.

use std::time::{Duration, UNIX_EPOCH};

use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Body, Mailbox, Message, MessageBuilder, MultiPart, SinglePart};

use crate::domain::clock::Timestamp;
use crate::domain::id::MailId;
use crate::domain::mail::{self, Draft};
use crate::domain::mail_address;

/// The message of a draft. The same draft, id and time give the same headers. `unsubscribe` is the
/// value of `List-Unsubscribe`.
pub(super) fn compose(
    draft: &Draft,
    id: MailId,
    at: Timestamp,
    unsubscribe: Option<&str>,
) -> Result<Vec<u8>, String> {
    let from = mailbox(&draft.from)?;
    let since_1970 = Duration::from_millis(u64::try_from(at.0).unwrap_or(0));
    let mut builder = Message::builder()
        .from(from.clone())
        .date(UNIX_EPOCH + since_1970)
        .message_id(Some(format!("<{id}@{}>", draft.from.address.domain())))
        .subject(draft.subject.clone());
    let mut receivers = Vec::new();
    for to in &draft.to {
        let to = mailbox(to)?;
        receivers.push(to.email.clone());
        builder = builder.to(to);
    }
    for cc in &draft.cc {
        let cc = mailbox(cc)?;
        receivers.push(cc.email.clone());
        builder = builder.cc(cc);
    }
    for bcc in &draft.bcc {
        receivers.push(mailbox(bcc)?.email);
    }
    if draft.to.is_empty() {
        builder = encoded(builder, "To", "undisclosed-recipients:;")?;
    }
    if let Some(reply_to) = &draft.reply_to {
        builder = builder.reply_to(mailbox(reply_to)?);
    }
    for (name, value) in &draft.headers {
        builder = builder.raw_header(HeaderValue::new(header_name(name)?, value.clone()));
    }
    if let Some(urls) = unsubscribe {
        builder = encoded(builder, "List-Unsubscribe", urls)?;
        // RFC 8058: one click is a POST to the first `https` URL.
        if urls.contains("<https://") || urls.contains("<http://") {
            builder = encoded(builder, "List-Unsubscribe-Post", "List-Unsubscribe=One-Click")?;
        }
    }
    let envelope = Envelope::new(Some(from.email), receivers).map_err(|error| error.to_string())?;
    let message = with_body(builder.envelope(envelope), draft);
    Ok(message.map_err(|error| error.to_string())?.formatted())
}

fn with_body(builder: MessageBuilder, draft: &Draft) -> Result<Message, lettre::error::Error> {
    let text = SinglePart::plain(draft.text.clone());
    let html = draft.html.clone().map(SinglePart::html);
    if draft.attachments.is_empty() {
        return match html {
            None => builder.singlepart(text),
            Some(html) => builder.multipart(MultiPart::alternative().singlepart(text).singlepart(html)),
        };
    }
    let mut parts = match html {
        None => MultiPart::mixed().singlepart(text),
        Some(html) => {
            MultiPart::mixed().multipart(MultiPart::alternative().singlepart(text).singlepart(html))
        }
    };
    for file in &draft.attachments {
        parts = parts.singlepart(attached(file));
    }
    builder.multipart(parts)
}

fn attached(file: &mail::Attachment) -> SinglePart {
    // The capability has checked the form. What the library does not know is just bytes.
    let kind = ContentType::parse(&file.content_type);
    let kind = kind.or_else(|_| ContentType::parse("application/octet-stream"));
    let kind = kind.unwrap_or(ContentType::TEXT_PLAIN);
    let body = match Body::new_with_encoding(file.content.clone(), ContentTransferEncoding::Base64) {
        Ok(body) => body,
        // Every content can be written in Base64.
        Err(content) => Body::new(content),
    };
    Attachment::new(file.name.clone()).body(body, kind)
}

/// Adds a header that is ASCII and short, so that it needs no encoding.
fn encoded(builder: MessageBuilder, name: &str, value: &str) -> Result<MessageBuilder, String> {
    let value =
        HeaderValue::dangerous_new_pre_encoded(header_name(name)?, value.to_owned(), value.to_owned());
    Ok(builder.raw_header(value))
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::new_from_ascii(name.to_owned()).map_err(|_| format!("`{name}` is no name of a header"))
}

fn mailbox(mailbox: &mail_address::Mailbox) -> Result<Mailbox, String> {
    let address = address(&mailbox.address)?;
    Ok(Mailbox::new(mailbox.name.clone(), address))
}

/// The address as the library takes it.
pub(super) fn address(address: &mail_address::Address) -> Result<lettre::Address, String> {
    address
        .as_str()
        .parse()
        .map_err(|_| format!("`{address}` cannot be written into a message"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::mail::Unsubscribe;

    fn draft() -> Draft {
        Draft {
            from: "Shop <shop@example.com>".parse().unwrap(),
            to: vec!["Käthe <kathe@example.org>".parse().unwrap()],
            cc: vec!["bob@example.org".parse().unwrap()],
            bcc: vec!["eve@example.org".parse().unwrap()],
            reply_to: Some("answers@example.com".parse().unwrap()),
            headers: vec![("X-Order".to_owned(), "42".to_owned())],
            subject: "Grüße".to_owned(),
            text: "Hallo\nKäthe".to_owned(),
            html: None,
            attachments: Vec::new(),
            tags: vec!["tag".to_owned()],
            template: None,
            idempotency_key: None,
            unsubscribe: Unsubscribe::No,
        }
    }

    fn composed(draft: &Draft, unsubscribe: Option<&str>) -> String {
        let source = compose(
            draft,
            MailId::generate(),
            Timestamp(1_700_000_000_000),
            unsubscribe,
        )
        .unwrap();
        String::from_utf8(source).unwrap()
    }

    #[test]
    fn a_message_is_ascii_and_hides_what_nobody_should_see() {
        let source = composed(&draft(), None);
        assert!(source.is_ascii());
        for part in [
            "From: Shop <shop@example.com>\r\n",
            "Cc: bob@example.org\r\n",
            "Reply-To: answers@example.com\r\n",
            "X-Order: 42\r\n",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n",
            "@example.com>\r\n",
            "MIME-Version: 1.0\r\n",
        ] {
            assert!(source.contains(part), "{part}: {source}");
        }
        assert!(
            !source.contains("eve@example.org") && !source.contains("Bcc"),
            "{source}"
        );
        assert!(!source.contains("tag"), "{source}");
        assert!(
            source
                .split("\r\n")
                .all(|line| line.len() < 998 && !line.contains('\n'))
        );
    }

    #[test]
    fn the_text_is_there_beside_html_and_files() {
        let mut draft = draft();
        draft.html = Some("<p>Hallo</p>".to_owned());
        let source = composed(&draft, None);
        assert!(
            source.contains("multipart/alternative") && source.contains("text/plain"),
            "{source}"
        );
        draft.attachments.push(mail::Attachment {
            name: "Rechnung ü.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            content: vec![0, 159, 13, 10, 46, 13, 10],
        });
        let source = composed(&draft, None);
        for part in [
            "multipart/mixed",
            "multipart/alternative",
            "application/pdf",
            "base64",
            "text/html",
        ] {
            assert!(source.contains(part), "{part}: {source}");
        }
        assert!(source.is_ascii());
    }

    #[test]
    fn hidden_receivers_alone_leave_a_valid_message() {
        let mut draft = draft();
        (draft.to, draft.cc) = (Vec::new(), Vec::new());
        let source = composed(&draft, Some("<https://shop.example/u/1>"));
        for part in [
            "To: undisclosed-recipients:;\r\n",
            "List-Unsubscribe: <https://shop.example/u/1>\r\n",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n",
        ] {
            assert!(source.contains(part), "{part}: {source}");
        }
        assert!(!composed(&draft, Some("<mailto:u@shop.example>")).contains("One-Click"));
    }
}
