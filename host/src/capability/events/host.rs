//! The host calls of the events.

use std::pin::pin;

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::jobs::{Added, JobQueue};
use super::super::{HasCapabilities, Invocation};
use super::{NotPublished, build};
use crate::deadline::within;
use crate::fail_point;

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
        let publishing = pin!(self.queue.publish(tenant, event, self.invocation.limits()));
        let published = within(self.invocation.host_call_timeout(), publishing).await;
        published.map_err(|_| {
            NotPublished::Unavailable(
                "the job queue did not answer in time, and the event may have been published".to_owned(),
            )
        })??;
        fail_point::reach("enqueue-added");
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
