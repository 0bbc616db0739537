//! Mail of the test host, which is kept in memory.

mod address;
mod headers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

use mortise_renderer::{Failure, Files};

use super::Host;
use super::budget::Limits;
use crate::email::{Attachment, Error, Prepared, PreparedBody};
use address::Mailbox;

/// The most bytes of a subject.
const MAX_SUBJECT: usize = 900;

/// The most tags of a mail, and bytes of a tag.
const MAX_TAGS: usize = 10;
const MAX_TAG: usize = 64;

/// The most bytes of an idempotency key.
const MAX_KEY: usize = 200;

/// How long a mail with the idempotency key of an earlier one is not sent.
const KEY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A mail that the plugin sent.
///
/// ```
/// use mortise_sdk::email;
///
/// let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
/// email::to("ada@example.com").subject("Hello").html("<p>Hi</p>").tag("greeting").send()?;
/// let mail = &host.mail()[0];
/// assert_eq!((mail.from.as_str(), mail.text.as_str()), ("shop@example.com", "Hi"));
/// # Ok::<(), email::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMail {
    /// The id that [`Message::send`](crate::email::Message::send) returned.
    pub id: String,
    /// The sender.
    pub from: String,
    /// The recipients, as the plugin wrote them. An address that occurs twice is listed once.
    pub to: Vec<String>,
    /// The recipients of a copy.
    pub cc: Vec<String>,
    /// The recipients whom the others do not see.
    pub bcc: Vec<String>,
    /// The address for answers.
    pub reply_to: Option<String>,
    /// The headers that the plugin added.
    pub headers: Vec<(String, String)>,
    /// The subject, also of a template.
    pub subject: String,
    /// The text part, which every mail has.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
    /// The template that the content comes from.
    pub template: Option<String>,
    /// The files.
    pub attachments: Vec<Attachment>,
    /// The tags.
    pub tags: Vec<String>,
    /// The idempotency key.
    pub idempotency_key: Option<String>,
}

/// The mail of a test host, and what the plugin may send.
pub(super) struct Outgoing {
    /// Addresses, and domains such as `@example.com`.
    senders: Vec<String>,
    templates: Files,
    sent: RefCell<Vec<SentMail>>,
    /// The ids of mails by their idempotency keys, with the time at which each was sent.
    keys: RefCell<BTreeMap<String, (i64, String)>>,
}

/// The content of a mail.
struct Content {
    subject: String,
    text: String,
    html: Option<String>,
    template: Option<String>,
}

impl Host {
    /// All mail that was sent, in order.
    ///
    /// ```
    /// assert!(mortise_sdk::testing::Host::start().mail().is_empty());
    /// ```
    pub fn mail(&self) -> Vec<SentMail> {
        self.state.outgoing.sent.borrow().clone()
    }
}

/// Reads the files of a folder of templates. Hidden files are skipped.
pub(super) fn read_templates(folder: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| unreadable(folder, &error)) {
        let entry = entry.unwrap_or_else(|error| unreadable(folder, &error));
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            let text = fs::read_to_string(entry.path());
            files.insert(
                name,
                text.unwrap_or_else(|error| unreadable(&entry.path(), &error)),
            );
        }
    }
    files
}

fn unreadable(path: &Path, error: &io::Error) -> ! {
    panic!("the mail templates in {} cannot be read: {error}", path.display())
}

impl Outgoing {
    /// Fails the test if a template is not valid.
    pub fn new(senders: Vec<String>, templates: Files) -> Self {
        if let Err(problem) = mortise_renderer::check(&templates) {
            panic!("a mail template is not valid: {problem}");
        }
        Self {
            senders,
            templates,
            sent: RefCell::default(),
            keys: RefCell::default(),
        }
    }

    /// Checks a mail as the host does, and keeps it. Returns its id.
    pub fn take(&self, mail: Prepared, now_ms: i64, limits: &Limits) -> Result<String, Error> {
        let Prepared { message, body } = mail;
        let from = self.sender(message.from)?;
        let count = message.to.len() + message.cc.len() + message.bcc.len();
        if is_more(count, limits.mail_recipients) {
            return Err(Error::Limit(format!(
                "the mail has {count} receivers, and the plan allows {} (`mail_recipients`)",
                limits.mail_recipients
            )));
        }
        let mut seen = Vec::new();
        let to = recipients(message.to, &mut seen)?;
        let cc = recipients(message.cc, &mut seen)?;
        let bcc = recipients(message.bcc, &mut seen)?;
        if seen.is_empty() {
            return Err(Error::Invalid("the mail has no receiver".to_owned()));
        }
        if headers::check(&message.headers)? && seen.len() != 1 {
            return Err(Error::Invalid(
                "a mail with `list-unsubscribe: one-click` has one receiver, whom its URL names; send one mail to each"
                    .to_owned(),
            ));
        }
        if let Some(reply_to) = &message.reply_to {
            Mailbox::parse(reply_to)?;
        }
        check_attachments(&message.attachments, limits.mail_attachments)?;
        check_tags(&message.tags)?;
        check_key(message.idempotency_key.as_deref())?;
        let Content {
            subject,
            text,
            html,
            template,
        } = self.content(body, &message.attachments, limits)?;
        if let Some(id) = self.known(message.idempotency_key.as_deref(), now_ms) {
            return Ok(id);
        }
        let mut sent = self.sent.borrow_mut();
        let id = format!("01900000-0000-7000-9000-{:012x}", sent.len() + 1);
        if let Some(key) = &message.idempotency_key {
            let entry = (now_ms, id.clone());
            self.keys.borrow_mut().insert(key.clone(), entry);
        }
        sent.push(SentMail {
            id: id.clone(),
            from,
            to,
            cc,
            bcc,
            reply_to: message.reply_to,
            headers: message.headers,
            subject,
            text,
            html,
            template,
            attachments: message.attachments,
            tags: message.tags,
            idempotency_key: message.idempotency_key,
        });
        Ok(id)
    }

    /// The id of the mail that was sent with this key.
    fn known(&self, key: Option<&str>, now_ms: i64) -> Option<String> {
        let keys = self.keys.borrow();
        let (at, id) = keys.get(key?)?;
        (now_ms - at < KEY_MS).then(|| id.clone())
    }

    /// The sender, if it is granted.
    fn sender(&self, from: Option<String>) -> Result<String, Error> {
        let from = from.or_else(|| {
            self.senders
                .iter()
                .find(|sender| !sender.starts_with('@'))
                .cloned()
        });
        let from = from.ok_or_else(|| {
            Error::NotGranted(
                "the mail has no sender, and the plugin has none that the tenant granted; list one under [email] from \
                 in the manifest, and have the tenant grant it"
                    .to_owned(),
            )
        })?;
        let mailbox = Mailbox::parse(&from)?;
        if self.senders.iter().any(|sender| mailbox.is_covered_by(sender)) {
            return Ok(from);
        }
        Err(Error::NotGranted(match self.senders.is_empty() {
            true => format!(
                "mail from {} is not granted; list it under [email] from in the manifest, and have the tenant grant it",
                mailbox.address
            ),
            false => format!(
                "mail from {} is not granted; the plugin may send from {}",
                mailbox.address,
                self.senders.join(", ")
            ),
        }))
    }

    fn content(
        &self,
        body: PreparedBody,
        attachments: &[Attachment],
        limits: &Limits,
    ) -> Result<Content, Error> {
        let content = match body {
            PreparedBody::Content { subject, text, html } => Content {
                subject,
                text,
                html,
                template: None,
            },
            PreparedBody::Template { name, values } => {
                let mail = mortise_renderer::render(&self.templates, &name, &values);
                let mail = mail.map_err(|failure| match failure {
                    Failure::Limit(_) => Error::Limit(failure.to_string()),
                    Failure::Values(_) | Failure::Failed(_) => Error::Invalid(failure.to_string()),
                })?;
                Content {
                    subject: mail.subject,
                    text: mail.text,
                    html: mail.html,
                    template: Some(name),
                }
            }
        };
        complete(content, attachments, limits)
    }
}

/// Checks the content, and makes the text of a mail that has only HTML.
fn complete(mut content: Content, attachments: &[Attachment], limits: &Limits) -> Result<Content, Error> {
    if content.subject.len() > MAX_SUBJECT || content.subject.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "the subject is one line of at most {MAX_SUBJECT} bytes, without line breaks and control characters"
        )));
    }
    content.html = content.html.filter(|html| !html.trim().is_empty());
    if content.text.trim().is_empty() {
        match &content.html {
            Some(html) => content.text = mortise_renderer::text_of(html),
            None if attachments.is_empty() => {
                return Err(Error::Invalid("the mail has neither text nor HTML".to_owned()));
            }
            None => {}
        }
    }
    let files = attachments.iter().map(|file| file.content.len());
    let size = content.subject.len() + content.text.len() + content.html.as_ref().map_or(0, String::len);
    let size = size + files.sum::<usize>();
    if size > limits.mail_size.0 {
        return Err(Error::Limit(format!(
            "the mail has {size} bytes with its files, and the plan allows {} (`mail_size`)",
            limits.mail_size
        )));
    }
    Ok(content)
}

/// Checks recipients. One who was named before is left out.
fn recipients(texts: Vec<String>, seen: &mut Vec<String>) -> Result<Vec<String>, Error> {
    let mut kept = Vec::new();
    for text in texts {
        let Mailbox { address } = Mailbox::parse(&text)?;
        if !seen.contains(&address) {
            seen.push(address);
            kept.push(text);
        }
    }
    Ok(kept)
}

fn is_more(count: usize, most: u32) -> bool {
    !u32::try_from(count).is_ok_and(|count| count <= most)
}

fn check_attachments(files: &[Attachment], most: u32) -> Result<(), Error> {
    if is_more(files.len(), most) {
        return Err(Error::Limit(format!(
            "the mail has {} files, and the plan allows {most} (`mail_attachments`)",
            files.len()
        )));
    }
    let is_clean = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '"');
    for file in files {
        if !(1..=200).contains(&file.name.len()) || !file.name.chars().all(is_clean) {
            return Err(Error::Invalid(
                "the name of a file has 1 to 200 bytes, and no slashes, quotes or control characters"
                    .to_owned(),
            ));
        }
        let essence = file.content_type.split(';').next().unwrap_or_default().trim();
        let (kind, subtype) = essence.split_once('/').unwrap_or_default();
        let is_composite = ["multipart", "message"]
            .iter()
            .any(|name| kind.eq_ignore_ascii_case(name));
        let is_printable = file
            .content_type
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte));
        if kind.is_empty() || subtype.is_empty() || essence.contains(' ') || is_composite || !is_printable {
            return Err(Error::Invalid(format!(
                "the content type of the file `{}` is none that a mail can carry; write one such as application/pdf",
                file.name
            )));
        }
    }
    Ok(())
}

fn check_tags(tags: &[String]) -> Result<(), Error> {
    let is_tag = |tag: &String| (1..=MAX_TAG).contains(&tag.len()) && !tag.chars().any(char::is_control);
    match tags.len() <= MAX_TAGS && tags.iter().all(is_tag) {
        true => Ok(()),
        false => Err(Error::Invalid(format!(
            "a mail has at most {MAX_TAGS} tags of 1 to {MAX_TAG} bytes, without control characters"
        ))),
    }
}

fn check_key(key: Option<&str>) -> Result<(), Error> {
    match key {
        Some(key) if !(1..=MAX_KEY).contains(&key.len()) => Err(Error::Invalid(format!(
            "the idempotency key has {} bytes, and 1 to {MAX_KEY} are possible; use a hash of it",
            key.len()
        ))),
        _ => Ok(()),
    }
}
