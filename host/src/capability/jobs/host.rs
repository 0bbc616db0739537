//! The host calls of the jobs.

use std::pin::pin;

use wasmtime::component::{HasData, Linker};

use super::super::bindings::{v0_1, v0_2};
use super::super::{HasCapabilities, Invocation};
use super::build::{self, Added};
use super::{JobQueue, NotEnqueued};
use crate::deadline::within;
use crate::fail_point;

/// The part of the invocation that the jobs may use.
pub struct JobsView<'a> {
    /// The invocation.
    pub invocation: &'a mut Invocation,
    /// The job queue.
    pub queue: &'a dyn JobQueue,
}

struct Jobs;

impl HasData for Jobs {
    type Data<'a> = JobsView<'a>;
}

/// Links the interface.
pub fn add_to_linker<T: HasCapabilities>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    v0_1::jobs::add_to_linker::<T, Jobs>(linker, view)?;
    v0_2::jobs::add_to_linker::<T, Jobs>(linker, view)
}

fn view<T: HasCapabilities>(data: &mut T) -> JobsView<'_> {
    let state = data.capabilities();
    JobsView {
        invocation: &mut state.invocation,
        queue: &*state.services.jobs,
    }
}

impl JobsView<'_> {
    async fn add(&mut self, wanted: v0_2::jobs::NewJob) -> Result<String, NotEnqueued> {
        self.invocation.charge_host_call(build::bytes(&wanted))?;
        let job = build::build(self.invocation, wanted)?;
        let (payload, depth) = (job.payload.len(), job.depth);
        let adding = pin!(self.queue.add(job, self.invocation.limits()));
        let added = within(self.invocation.host_call_timeout(), adding).await;
        let id = added.map_err(|_| {
            NotEnqueued::Unavailable(
                "the job queue did not answer in time, and the job may have been added; a unique key lets you try again"
                    .to_owned(),
            )
        })??;
        fail_point::reach("enqueue-added");
        Added::Job.count(self.invocation, payload, depth);
        Ok(id.to_string())
    }
}

macro_rules! serve {
    ($contract:ident) => {
        impl $contract::jobs::Host for JobsView<'_> {
            async fn enqueue(
                &mut self,
                job: $contract::jobs::NewJob,
            ) -> wasmtime::Result<Result<String, $contract::jobs::Error>> {
                self.invocation.last_calls.note("jobs.enqueue");
                Ok(self.add(job.into()).await.map_err(Into::into))
            }
        }
    };
}

serve!(v0_1);
serve!(v0_2);

impl From<NotEnqueued> for v0_2::jobs::Error {
    fn from(error: NotEnqueued) -> Self {
        match error {
            NotEnqueued::UnknownJob { .. } => Self::UnknownJob(error.to_string()),
            NotEnqueued::Invalid(why) => Self::Invalid(why),
            NotEnqueued::TooLarge(_) => Self::TooLarge,
            NotEnqueued::Limit(why) => Self::Limit(why),
            NotEnqueued::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

/// Contract 0.1 has no case for a wrong value. Such a job has a key that is too long or is due too
/// late, so it exceeds a limit.
impl From<NotEnqueued> for v0_1::jobs::Error {
    fn from(error: NotEnqueued) -> Self {
        match error {
            NotEnqueued::UnknownJob { .. } => Self::UnknownJob(error.to_string()),
            NotEnqueued::TooLarge(_) => Self::TooLarge,
            NotEnqueued::Invalid(why) | NotEnqueued::Limit(why) => Self::Limit(why),
            NotEnqueued::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
