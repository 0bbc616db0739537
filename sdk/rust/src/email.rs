//! Mail from the addresses that the tenant granted to the plugin.
//!
//! The manifest lists them under `[email] from`. A mail has content that the plugin writes, or a
//! template of the folder `[email] templates`, which the host renders. [`send`](Message::send)
//! returns once the mail is stored. The host delivers it, and tries again after a failure.
//!
//! To send a mail if and only if a transaction commits, add a job in the transaction
//! ([`enqueue_in`](crate::jobs::NewJob::enqueue_in)) and send the mail in the job, with an
//! idempotency key, because a job may run again.
//!
//! ```
//! use mortise_sdk::email;
//! use serde_json::json;
//!
//! let host = mortise_sdk::testing::Host::builder()
//!     .email_from("shop@example.com")
//!     .template("order-confirmed.subject", "Order {{ order }}")
//!     .template("order-confirmed.txt", "Thank you for order {{ order }}!")
//!     .start();
//! email::to("ada@example.com")
//!     .template("order-confirmed", &json!({ "order": 7 }))
//!     .idempotency_key("order-confirmed-7")
//!     .send()?;
//! assert_eq!(host.mail()[0].subject, "Order 7");
//! # Ok::<(), email::Error>(())
//! ```

use std::fmt;

use serde::Serialize;

use crate::host::{Backend, Host};

/// A mail to be sent.
///
/// Addresses are written `ada@example.com` or `Ada <ada@example.com>`.
///
/// ```
/// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
/// use mortise_sdk::email::Message;
///
/// let id = Message::new()
///     .to("Ada <ada@example.com>")
///     .reply_to("help@example.com")
///     .subject("Your invoice")
///     .text("It is attached.")
///     .attach("invoice.pdf", "application/pdf", b"%PDF-1.7")
///     .tag("invoice")
///     .send()?;
/// assert_eq!(host.mail()[0].id, id);
/// # Ok::<(), mortise_sdk::email::Error>(())
/// ```
#[must_use = "call `send`"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub(crate) from: Option<String>,
    pub(crate) to: Vec<String>,
    pub(crate) cc: Vec<String>,
    pub(crate) bcc: Vec<String>,
    pub(crate) reply_to: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) subject: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) html: Option<String>,
    /// The name, and the values or why they are not JSON.
    template: Option<(String, Result<String, String>)>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) tags: Vec<String>,
    pub(crate) idempotency_key: Option<String>,
}

/// A file of a mail.
///
/// ```
/// use mortise_sdk::email;
///
/// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
/// email::to("ada@example.com").subject("Notes").text("Hi").attach("a.txt", "text/plain", "notes").send()?;
/// assert_eq!(host.mail()[0].attachments[0].content, b"notes");
/// # Ok::<(), email::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name of the file.
    pub name: String,
    /// The type of its content, such as `application/pdf`.
    pub content_type: String,
    /// The bytes.
    pub content: Vec<u8>,
}

/// A mail with its content or its template, as host calls take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// The message, whose content and template are in `body`.
    pub message: Message,
    pub body: PreparedBody,
}

/// The content of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PreparedBody {
    Content {
        subject: String,
        text: String,
        html: Option<String>,
    },
    Template {
        name: String,
        /// A JSON object.
        values: String,
    },
}

/// A mail that was not accepted.
///
/// If a handler returns it through `?`, the response is a 500 and the cause is logged;
/// [`Unavailable`](Self::Unavailable) is a 503 with `Retry-After`.
///
/// ```
/// use mortise_sdk::email::{self, Error};
///
/// # let _host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
/// let error = email::to("nobody").subject("Hi").text("Hi").send().unwrap_err();
/// assert!(matches!(error, Error::Invalid(_)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// An address, a header, the template or its values are not valid.
    Invalid(String),
    /// The tenant has not granted the plugin to send from this address.
    NotGranted(String),
    /// The mail is too large or has too many recipients, the tenant has sent its mail of this hour,
    /// or rendering the template took too much.
    Limit(String),
    /// The mail cannot be stored now.
    Unavailable(String),
    /// An error that this version of the SDK does not know.
    Other(String),
}

/// Begins a mail to this address.
///
/// ```
/// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
/// mortise_sdk::email::to("ada@example.com").subject("Hello").text("How are you?").send()?;
/// assert_eq!(host.mail()[0].to, ["ada@example.com"]);
/// # Ok::<(), mortise_sdk::email::Error>(())
/// ```
pub fn to(address: impl Into<String>) -> Message {
    Message::new().to(address)
}

impl Message {
    /// A mail without recipients and content.
    ///
    /// ```
    /// let message = mortise_sdk::email::Message::new().to("ada@example.com").bcc("archive@example.com");
    /// # let _ = message;
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the sender, one of the addresses of the manifest. Without it, the first of them is
    /// used.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder();
    /// # let host = host.email_from("shop@example.com").email_from("@news.example").start();
    /// use mortise_sdk::email;
    ///
    /// email::to("ada@example.com").from("Ann <ann@news.example>").subject("News").text("…").send()?;
    /// assert_eq!(host.mail()[0].from, "Ann <ann@news.example>");
    /// # Ok::<(), email::Error>(())
    /// ```
    pub fn from(mut self, address: impl Into<String>) -> Self {
        self.from = Some(address.into());
        self
    }

    /// Adds a recipient.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").to("bob@example.com");
    /// # let _ = message;
    /// ```
    pub fn to(mut self, address: impl Into<String>) -> Self {
        self.to.push(address.into());
        self
    }

    /// Adds a recipient of a copy.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").cc("bob@example.com");
    /// # let _ = message;
    /// ```
    pub fn cc(mut self, address: impl Into<String>) -> Self {
        self.cc.push(address.into());
        self
    }

    /// Adds a recipient whom the others do not see.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").bcc("archive@example.com");
    /// # let _ = message;
    /// ```
    pub fn bcc(mut self, address: impl Into<String>) -> Self {
        self.bcc.push(address.into());
        self
    }

    /// Sets the address for answers.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").reply_to("help@example.com");
    /// # let _ = message;
    /// ```
    pub fn reply_to(mut self, address: impl Into<String>) -> Self {
        self.reply_to = Some(address.into());
        self
    }

    /// Adds a header that the host does not write itself. With `list-unsubscribe: one-click` on a
    /// mail to one recipient, the host adds a link with which the recipient unsubscribes.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
    /// use mortise_sdk::email;
    ///
    /// email::to("ada@example.com").header("x-campaign", "spring").subject("News").text("…").send()?;
    /// assert_eq!(host.mail()[0].headers, [("x-campaign".to_owned(), "spring".to_owned())]);
    /// # Ok::<(), email::Error>(())
    /// ```
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the subject, which a template has itself.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").subject("Hello").text("How are you?");
    /// # let _ = message;
    /// ```
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets the text part.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").subject("Hello").text("How are you?");
    /// # let _ = message;
    /// ```
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Sets the HTML part. Without a text part, the host makes one from it.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
    /// use mortise_sdk::email;
    ///
    /// email::to("ada@example.com").subject("Hello").html("<p>How are <b>you</b>?</p>").send()?;
    /// assert_eq!(host.mail()[0].text, "How are you?");
    /// # Ok::<(), email::Error>(())
    /// ```
    pub fn html(mut self, html: impl Into<String>) -> Self {
        self.html = Some(html.into());
        self
    }

    /// Takes subject, text and HTML from a template of the bundle. The values are written as a JSON
    /// object, so `values` is a structure, a map or `json!({…})`.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com")
    /// #     .template("paid.subject", "Paid").template("paid.html", "<b>{{ name }}</b>").start();
    /// use mortise_sdk::email;
    /// use serde::Serialize;
    ///
    /// #[derive(Serialize)]
    /// struct Paid {
    ///     name: &'static str,
    /// }
    ///
    /// email::to("ada@example.com").template("paid", &Paid { name: "A & B" }).send()?;
    /// assert_eq!(host.mail()[0].html.as_deref(), Some("<b>A &amp; B</b>"));
    /// # Ok::<(), email::Error>(())
    /// ```
    pub fn template<T: Serialize + ?Sized>(mut self, name: impl Into<String>, values: &T) -> Self {
        let values = serde_json::to_string(values).map_err(|error| error.to_string());
        self.template = Some((name.into(), values));
        self
    }

    /// Adds a file.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").attach("a.csv", "text/csv", "a;b\n");
    /// # let _ = message;
    /// ```
    pub fn attach(
        mut self,
        name: impl Into<String>,
        content_type: impl Into<String>,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        self.attachments.push(Attachment {
            name: name.into(),
            content_type: content_type.into(),
            content: content.into(),
        });
        self
    }

    /// Adds a tag for people and statistics. The recipients do not see it.
    ///
    /// ```
    /// let message = mortise_sdk::email::to("ada@example.com").tag("invoice");
    /// # let _ = message;
    /// ```
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Sets a key: a mail of the plugin with the key of one of the last 24 hours is not sent again,
    /// and [`send`](Self::send) returns the id of the first.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
    /// use mortise_sdk::email;
    ///
    /// let send = || email::to("ada@example.com").subject("Hi").text("Hi").idempotency_key("hi-7").send();
    /// assert_eq!(send()?, send()?);
    /// assert_eq!(host.mail().len(), 1);
    /// # Ok::<(), email::Error>(())
    /// ```
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Sends the mail. Returns its id once the mail is stored; what becomes of it is seen with
    /// `mortise mail show`.
    ///
    /// ```
    /// # let host = mortise_sdk::testing::Host::builder().email_from("shop@example.com").start();
    /// mortise_sdk::email::to("ada@example.com").subject("Hello").text("How are you?").send()?;
    /// assert_eq!(host.mail().len(), 1);
    /// # Ok::<(), mortise_sdk::email::Error>(())
    /// ```
    pub fn send(self) -> Result<String, Error> {
        Host::send_email(self.prepared().map_err(Error::Invalid)?)
    }

    /// The mail with its content or its template.
    fn prepared(mut self) -> Result<Prepared, String> {
        let (subject, text, html) = (self.subject.take(), self.text.take(), self.html.take());
        let has_content = subject.is_some() || text.is_some() || html.is_some();
        let body = match self.template.take() {
            Some((name, _)) if has_content => {
                return Err(format!(
                    "the mail has the template `{name}` and content of its own; the template has the subject, the text and \
                     the HTML"
                ));
            }
            Some((name, values)) => PreparedBody::Template {
                values: values.map_err(|why| {
                    format!("the values of the template `{name}` cannot be written as JSON: {why}")
                })?,
                name,
            },
            None => PreparedBody::Content {
                subject: subject.unwrap_or_default(),
                text: text.unwrap_or_default(),
                html,
            },
        };
        Ok(Prepared { message: self, body })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(why) => write!(formatter, "the mail is invalid: {why}"),
            Self::NotGranted(why) => write!(formatter, "the mail is not granted: {why}"),
            Self::Limit(why) => write!(formatter, "a limit of mail was reached: {why}"),
            Self::Unavailable(why) => write!(formatter, "mail is unavailable: {why}"),
            Self::Other(why) => write!(formatter, "the mail was not sent: {why}"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_template_has_all_content_and_json_values() {
        let both = to("a@b.example")
            .template("paid", &())
            .text("x")
            .prepared()
            .unwrap_err();
        assert!(
            both.contains("the template `paid` and content of its own"),
            "{both}"
        );
        let keys = BTreeMap::from([((1, 2), 3)]);
        let error = to("a@b.example").template("paid", &keys).prepared().unwrap_err();
        assert!(error.contains("`paid` cannot be written as JSON"), "{error}");
    }
}
