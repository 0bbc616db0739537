//! The host calls of mail.

use std::pin::pin;

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, Invocation, Renderer};
use super::build::{self, Content};
use super::{MailQueue, MailSender, NotSent};
use crate::deadline::within;
use crate::domain::units::as_u64;
use crate::fail_point;
use v0_2::email::{Body, Message};

/// The part of the invocation that mail may use.
pub struct EmailView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// Takes mail.
    pub mail: &'a dyn MailQueue,
    /// Renders templates.
    pub renderer: &'a Renderer,
}

struct Email;

impl HasData for Email {
    type Data<'a> = EmailView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::email::add_to_linker::<T, Email>(linker, view)?;
    v0_2::email::add_to_linker::<T, Email>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> EmailView<'_> {
    let state = data.capabilities();
    EmailView {
        invocation: &mut state.invocation,
        mail: &*state.services.mail,
        renderer: &state.services.renderer,
    }
}

impl EmailView<'_> {
    /// Returns the id of the mail.
    async fn take(&mut self, message: Message) -> Result<String, NotSent> {
        self.invocation.charge_host_call(build::bytes(&message))?;
        let (mut draft, body) = build::draft(self.invocation, message)?;
        let content = self.content(body).await?;
        let size = build::complete(&mut draft, content, self.invocation.limits().mail_size)?;
        let recipients = draft.to.len() + draft.cc.len() + draft.bcc.len();
        let files = draft.attachments.len();
        let added = {
            let active = &self.invocation.active;
            let sender = MailSender {
                tenant: active.tenant,
                tenant_name: &active.tenant_name,
                plugin: &active.plugin,
                traceparent: self.invocation.traceparent.as_deref(),
            };
            let adding = self.mail.add(sender, draft, &active.limits);
            within(self.invocation.host_call_timeout(), adding).await
        };
        let id = added.map_err(|_| {
            NotSent::Unavailable(
                "the mail could not be stored in time, and it may be sent; an idempotency key lets you try again"
                    .to_owned(),
            )
        })??;
        fail_point::reach("enqueue-added");
        let usage = &mut self.invocation.usage;
        usage.mails_sent += 1;
        usage.mail_recipients = usage
            .mail_recipients
            .max(u32::try_from(recipients).unwrap_or(u32::MAX));
        usage.mail_attachments = usage
            .mail_attachments
            .max(u32::try_from(files).unwrap_or(u32::MAX));
        usage.mail_bytes = usage.mail_bytes.max(as_u64(size));
        Ok(id.to_string())
    }

    /// The content of a mail; that of a template is rendered.
    async fn content(&mut self, body: Body) -> Result<Content, NotSent> {
        let template = match body {
            Body::Content(content) => {
                return Ok(Content {
                    subject: content.subject,
                    text: content.text,
                    html: content.html,
                    template: None,
                });
            }
            Body::Template(template) => template,
        };
        let (active, cpu_time) = (self.invocation.active.clone(), self.invocation.cpu_time.clone());
        let rendered = {
            let rendering = self
                .renderer
                .render(&active, &template.name, &template.values, &cpu_time);
            within(self.invocation.host_call_timeout(), pin!(rendering)).await
        };
        let rendered = rendered.map_err(|_| {
            NotSent::Limit("the time of the invocation ended while the template was rendered".to_owned())
        })??;
        Ok(Content {
            subject: rendered.subject,
            text: rendered.text,
            html: rendered.html,
            template: Some(template.name),
        })
    }
}

impl v0_2::email::Host for EmailView<'_> {
    async fn send(&mut self, message: Message) -> wasmtime::Result<Result<String, v0_2::email::Error>> {
        self.invocation.last_calls.note("email.send");
        Ok(self.take(message).await.map_err(Into::into))
    }
}

impl v0_1::email::Host for EmailView<'_> {
    async fn send(
        &mut self,
        message: v0_1::email::Message,
    ) -> wasmtime::Result<Result<String, v0_1::email::Error>> {
        self.invocation.last_calls.note("email.send");
        Ok(self.take(message.into()).await.map_err(Into::into))
    }
}

/// A mail of contract 0.1 is one of 0.2 with fewer parts.
impl From<v0_1::email::Message> for Message {
    fn from(message: v0_1::email::Message) -> Self {
        Self {
            from: None,
            to: message.to,
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: message.reply_to,
            headers: Vec::new(),
            body: Body::Content(v0_2::email::Content {
                subject: message.subject,
                text: message.text,
                html: message.html,
            }),
            attachments: Vec::new(),
            tags: Vec::new(),
            idempotency_key: None,
        }
    }
}

impl From<NotSent> for v0_2::email::Error {
    fn from(error: NotSent) -> Self {
        match error {
            NotSent::Invalid(why) => Self::Invalid(why),
            NotSent::NotGranted(why) => Self::NotGranted(why),
            NotSent::Limit(why) => Self::Limit(why),
            NotSent::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<NotSent> for v0_1::email::Error {
    fn from(error: NotSent) -> Self {
        match error {
            NotSent::Invalid(why) => Self::Invalid(why),
            NotSent::NotGranted(why) => Self::NotGranted(why),
            NotSent::Limit(why) => Self::Limit(why),
            NotSent::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::super::testing::{MailInMemory, invocation};
    use super::super::MailRefused;
    use super::*;
    use crate::domain::grant::Grants;
    use crate::domain::limits::Limits;
    use crate::domain::mail::{Draft, Unsubscribe};
    use crate::domain::units::ByteSize;
    use v0_2::email::{Attachment, Content as Written, Template};

    fn sender(limits: Limits) -> Invocation {
        let grants = Grants {
            email: ["shop@example.com", "@news.example"]
                .map(|sender| sender.parse().unwrap())
                .into(),
            ..Grants::default()
        };
        let mut invocation = invocation(limits, grants);
        Arc::make_mut(&mut invocation.active).mail_from = Some("shop@example.com".parse().unwrap());
        invocation
    }

    fn message() -> Message {
        Message {
            from: None,
            to: vec!["Ada <ada@example.com>".to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: None,
            headers: Vec::new(),
            body: Body::Content(Written {
                subject: "Hello".to_owned(),
                text: "Text".to_owned(),
                html: None,
            }),
            attachments: Vec::new(),
            tags: Vec::new(),
            idempotency_key: None,
        }
    }

    fn file(bytes: usize) -> Attachment {
        Attachment {
            name: "a.txt".to_owned(),
            content_type: "text/plain".to_owned(),
            content: vec![b'x'; bytes],
        }
    }

    async fn take(invocation: &mut Invocation, message: Message) -> Result<Draft, NotSent> {
        let mail = MailInMemory::default();
        let renderer = Renderer::default();
        let mut view = EmailView {
            invocation,
            mail: &mail,
            renderer: &renderer,
        };
        view.take(message).await?;
        Ok(mail.drafts().pop().unwrap())
    }

    #[tokio::test]
    async fn a_mail_has_what_the_guest_says() {
        let mut invocation = sender(Limits::default());
        let draft = take(
            &mut invocation,
            Message {
                from: Some("News <any@news.example>".to_owned()),
                cc: vec!["bob@example.com".to_owned(), "ada@example.com".to_owned()],
                bcc: vec!["eve@example.com".to_owned()],
                reply_to: Some("answers@example.com".to_owned()),
                headers: vec![("X-Order".to_owned(), "42".to_owned())],
                attachments: vec![file(7)],
                tags: vec!["order".to_owned()],
                idempotency_key: Some("k".to_owned()),
                ..message()
            },
        )
        .await
        .unwrap();
        assert_eq!(draft.from.address.as_str(), "any@news.example");
        assert_eq!(draft.from.name.as_deref(), Some("News"));
        // A receiver who is named twice gets one mail.
        assert_eq!((draft.to.len(), draft.cc.len(), draft.bcc.len()), (1, 1, 1));
        assert_eq!(draft.headers, [("X-Order".to_owned(), "42".to_owned())]);
        assert_eq!((draft.subject.as_str(), draft.text.as_str()), ("Hello", "Text"));
        assert_eq!(draft.idempotency_key.as_deref(), Some("k"));
        let usage = &invocation.usage;
        assert_eq!(
            (usage.mails_sent, usage.mail_recipients, usage.mail_attachments),
            (1, 3, 1)
        );
        assert_eq!(usage.mail_bytes, 5 + 4 + 7);
        let draft = take(&mut invocation, message()).await.unwrap();
        assert_eq!(draft.from.address.as_str(), "shop@example.com");
    }

    #[tokio::test]
    async fn only_granted_addresses_send() {
        let mut invocation = sender(Limits::default());
        for from in ["other@example.com", "shop@sub.news.example"] {
            let from = Some(from.to_owned());
            let refused = take(&mut invocation, Message { from, ..message() }).await;
            assert!(matches!(&refused, Err(NotSent::NotGranted(why)) if why.contains("@news.example")));
        }
        let mut stranger = super::super::super::testing::invocation(Limits::default(), Grants::default());
        let refused = take(&mut stranger, message()).await;
        assert!(matches!(&refused, Err(NotSent::NotGranted(why)) if why.contains("[email] from")));
        assert_eq!(stranger.usage.host_calls, 1);
    }

    #[tokio::test]
    async fn injected_headers_and_wrong_values_are_refused() {
        let mut invocation = sender(Limits::default());
        let content = |subject: &str, text: &str| {
            Body::Content(Written {
                subject: subject.to_owned(),
                text: text.to_owned(),
                html: None,
            })
        };
        let inject = "x\r\nBcc: eve@example.com".to_owned();
        for wrong in [
            Message {
                to: Vec::new(),
                ..message()
            },
            Message {
                to: vec![inject.clone()],
                ..message()
            },
            Message {
                to: vec!["nobody".to_owned()],
                ..message()
            },
            Message {
                reply_to: Some(inject.clone()),
                ..message()
            },
            Message {
                from: Some(inject.clone()),
                ..message()
            },
            Message {
                headers: vec![("x-a".to_owned(), inject.clone())],
                ..message()
            },
            Message {
                headers: vec![("bcc".to_owned(), "eve@example.com".to_owned())],
                ..message()
            },
            Message {
                body: content(&inject, "t"),
                ..message()
            },
            Message {
                body: content("s", "  "),
                ..message()
            },
            Message {
                tags: vec![String::new()],
                ..message()
            },
            Message {
                idempotency_key: Some(String::new()),
                ..message()
            },
            Message {
                idempotency_key: Some("k".repeat(201)),
                ..message()
            },
            Message {
                attachments: vec![Attachment {
                    name: inject.clone(),
                    ..file(1)
                }],
                ..message()
            },
            Message {
                attachments: vec![Attachment {
                    content_type: inject,
                    ..file(1)
                }],
                ..message()
            },
        ] {
            let refused = take(&mut invocation, wrong).await;
            assert!(matches!(&refused, Err(NotSent::Invalid(_))), "{refused:?}");
        }
        assert_eq!(invocation.usage.mails_sent, 0);
    }

    #[tokio::test]
    async fn limits_of_a_mail_are_typed() {
        let mut invocation = sender(Limits {
            mail_recipients: 2,
            mail_attachments: 1,
            mail_size: ByteSize(10),
            ..Limits::default()
        });
        let cc = |count: usize| {
            (0..count)
                .map(|index| format!("c{index}@example.com"))
                .collect::<Vec<_>>()
        };
        take(
            &mut invocation,
            Message {
                cc: cc(1),
                attachments: vec![file(1)],
                ..message()
            },
        )
        .await
        .unwrap();
        for (wrong, limit) in [
            (
                Message {
                    cc: cc(2),
                    ..message()
                },
                "mail_recipients",
            ),
            (
                Message {
                    attachments: vec![file(0), file(0)],
                    ..message()
                },
                "mail_attachments",
            ),
            (
                Message {
                    attachments: vec![file(2)],
                    ..message()
                },
                "mail_size",
            ),
        ] {
            let refused = take(&mut invocation, wrong).await;
            assert!(
                matches!(&refused, Err(NotSent::Limit(why)) if why.contains(limit)),
                "{refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_mail_with_html_alone_has_a_text_too() {
        let mut invocation = sender(Limits::default());
        let body = Body::Content(Written {
            subject: "s".to_owned(),
            text: String::new(),
            html: Some("<p>Hello &amp; bye</p>".to_owned()),
        });
        let draft = take(&mut invocation, Message { body, ..message() })
            .await
            .unwrap();
        assert_eq!(draft.text, "Hello & bye");
        let body = Body::Template(Template {
            name: "unknown".to_owned(),
            values: "{}".to_owned(),
        });
        let refused = take(&mut invocation, Message { body, ..message() }).await;
        assert!(matches!(&refused, Err(NotSent::Invalid(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_url_of_the_host_for_unsubscribing_names_one_receiver() {
        let mut invocation = sender(Limits::default());
        let headers = || vec![("List-Unsubscribe".to_owned(), "one-click".to_owned())];
        let draft = take(
            &mut invocation,
            Message {
                headers: headers(),
                ..message()
            },
        )
        .await;
        assert_eq!(draft.unwrap().unsubscribe, Unsubscribe::AtHost);
        let cc = vec!["bob@example.com".to_owned()];
        let refused = take(
            &mut invocation,
            Message {
                headers: headers(),
                cc,
                ..message()
            },
        )
        .await;
        assert!(matches!(&refused, Err(NotSent::Invalid(why)) if why.contains("one receiver")));
    }

    #[tokio::test]
    async fn errors_of_the_queue_are_typed() {
        let mut invocation = sender(Limits::default());
        let renderer = Renderer::default();
        for (error, is_limit) in [(MailRefused::Hourly(3), true), (MailRefused::Unavailable, false)] {
            let mail = MailInMemory::failing(error);
            let mut view = EmailView {
                invocation: &mut invocation,
                mail: &mail,
                renderer: &renderer,
            };
            let refused = view.take(message()).await;
            assert_eq!(matches!(refused, Err(NotSent::Limit(_))), is_limit);
        }
        assert_eq!(invocation.usage.mails_sent, 0);
    }
}
