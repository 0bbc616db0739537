//! The host calls of the events.

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::jobs::{Added, JobQueue};
use super::super::{HasCapabilities, Invocation};
use super::{NotPublished, build};
use crate::deadline::within;

/// The part of the invocation that the events may use.
pub struct EventsView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The job queue.
    pub queue: &'a dyn JobQueue,
}

struct Events;

impl HasData for Events {
    type Data<'a> = EventsView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::events::add_to_linker::<T, Events>(linker, view)?;
    v0_2::events::add_to_linker::<T, Events>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> EventsView<'_> {
    let state = data.capabilities();
    EventsView {
        invocation: &mut state.invocation,
        queue: &*state.services.jobs,
    }
}

impl EventsView<'_> {
    /// Returns the id of the event.
    async fn add(&mut self, topic: &str, data: String) -> Result<String, NotPublished> {
        self.invocation.charge_host_call(topic.len() + data.len())?;
        let event = build(self.invocation, topic, data)?;
        let (id, payload, depth) = (event.event.id, event.data.len(), event.depth);
        let tenant = self.invocation.active.tenant;
        let publishing = self.queue.publish(tenant, event, self.invocation.limits());
        let published = within(self.invocation.host_call_timeout(), publishing).await;
        published.map_err(|_| {
            NotPublished::Unavailable(
                "the job queue did not answer in time, and the event may have been published".to_owned(),
            )
        })??;
        Added::Event.count(self.invocation, payload, depth);
        Ok(id.to_string())
    }
}

macro_rules! serve {
    ($contract:ident, published: $published:ty = $convert:path) => {
        impl $contract::events::Host for EventsView<'_> {
            async fn publish(
                &mut self,
                topic: String,
                payload: String,
            ) -> wasmtime::Result<Result<$published, $contract::events::Error>> {
                self.invocation.last_calls.note("events.publish");
                let published = self.add(&topic, payload).await;
                Ok(published.map($convert).map_err(Into::into))
            }
        }
    };
}

serve!(v0_1, published: () = drop);
serve!(v0_2, published: String = std::convert::identity);

impl From<NotPublished> for v0_2::events::Error {
    fn from(error: NotPublished) -> Self {
        match error {
            NotPublished::Invalid(why) => Self::Invalid(why.to_string()),
            NotPublished::NotGranted(_) => Self::NotGranted(error.to_string()),
            NotPublished::TooLarge(_) => Self::TooLarge,
            NotPublished::Limit(why) => Self::Limit(why),
            NotPublished::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Contract 0.1 has no case for a text that is no topic. Nothing can be granted for it.
impl From<NotPublished> for v0_1::events::Error {
    fn from(error: NotPublished) -> Self {
        match error {
            NotPublished::Invalid(_) | NotPublished::NotGranted(_) => Self::NotGranted(error.to_string()),
            NotPublished::TooLarge(_) => Self::TooLarge,
            NotPublished::Limit(why) => Self::Limit(why),
            NotPublished::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::jobs::QueueError;
    use super::super::super::testing::{QueueInMemory, invocation};
    use super::*;
    use crate::domain::grant::Grants;
    use crate::domain::limits::Limits;
    use crate::domain::units::ByteSize;

    fn publisher(limits: Limits, granted: &[&str]) -> Invocation {
        let grants = Grants {
            events: granted.iter().map(|pattern| pattern.parse().unwrap()).collect(),
            ..Grants::default()
        };
        invocation(limits, grants)
    }

    async fn publish(
        invocation: &mut Invocation,
        queue: &QueueInMemory,
        topic: &str,
        data: &str,
    ) -> Result<String, NotPublished> {
        EventsView { invocation, queue }.add(topic, data.to_owned()).await
    }

    #[tokio::test]
    async fn an_event_on_a_granted_topic_is_published() {
        let queue = QueueInMemory::default();
        let mut invocation = publisher(Limits::default(), &["order.*", "stock.>"]);
        let mut ids = Vec::new();
        for topic in ["order.created", "stock.a.b"] {
            ids.push(publish(&mut invocation, &queue, topic, "7").await.unwrap());
        }
        let events = queue.told().events.clone();
        let found: Vec<_> = events.iter().map(|event| event.event.id.to_string()).collect();
        assert_eq!(found, ids);
        let event = &events[0];
        assert_eq!(event.event.source.as_str(), "plugin");
        assert_eq!(
            (event.event.topic.as_str(), event.data.as_str()),
            ("order.created", "7")
        );
        assert_eq!(event.depth, 0);
        let usage = &invocation.usage;
        assert_eq!((usage.events_published, usage.job_payload_bytes), (2, 1));
        for topic in ["order", "order.created.now", "payment.settled"] {
            let refused = publish(&mut invocation, &QueueInMemory::default(), topic, "7").await;
            assert!(
                matches!(&refused, Err(NotPublished::NotGranted(_))),
                "{refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_published_is_a_typed_error() {
        let limits = Limits {
            job_payload: ByteSize(2),
            jobs_enqueued: 1,
            ..Limits::default()
        };
        let queue = QueueInMemory::default();
        let mut invocation = publisher(limits, &["a"]);
        let invalid = publish(&mut invocation, &queue, "a..b", "").await;
        assert!(matches!(&invalid, Err(NotPublished::Invalid(_))), "{invalid:?}");
        let large = publish(&mut invocation, &queue, "a", "123").await;
        assert!(matches!(&large, Err(NotPublished::TooLarge(_))), "{large:?}");
        queue.fail(Some(QueueError::Unavailable));
        let unavailable = publish(&mut invocation, &queue, "a", "12").await;
        assert!(
            matches!(&unavailable, Err(NotPublished::Unavailable(_))),
            "{unavailable:?}"
        );
        queue.fail(None);
        queue.set_receivers(201);
        let many = publish(&mut invocation, &queue, "a", "12").await;
        assert!(
            matches!(&many, Err(NotPublished::Limit(why)) if why.contains("200")),
            "{many:?}"
        );
        queue.set_receivers(200);
        publish(&mut invocation, &queue, "a", "12").await.unwrap();
        let spent = publish(&mut invocation, &queue, "a", "12").await;
        assert!(matches!(&spent, Err(NotPublished::Limit(_))), "{spent:?}");
    }

    #[tokio::test]
    async fn a_plugin_of_contract_0_1_publishes_too() {
        use v0_1::events::{Error, Host as _};
        let queue = QueueInMemory::default();
        let mut invocation = publisher(Limits::default(), &["a"]);
        let mut view = EventsView {
            invocation: &mut invocation,
            queue: &queue,
        };
        view.publish("a".to_owned(), "1".to_owned())
            .await
            .unwrap()
            .unwrap();
        for topic in ["b", "not a topic"] {
            let refused = view.publish(topic.to_owned(), String::new()).await.unwrap();
            assert!(matches!(refused, Err(Error::NotGranted(_))));
        }
        assert_eq!(queue.told().events.len(), 1);
    }
}
