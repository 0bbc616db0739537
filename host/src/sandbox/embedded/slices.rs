//! Who pays for the calls of embedded components, and on which threads they run.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::super::long_running::LongRunning;
use super::super::meter::{Meter, PollClock};
use super::super::placement::{GuestLanes, Placement, RunQueues};
use crate::capability::CpuTime;

/// The invocation or upload that pays for a call: its CPU time, its budget and its threads.
#[derive(Clone)]
pub struct Payer {
    /// Counts the CPU time.
    pub meter: Arc<Meter>,
    /// Decides on which threads the call runs.
    pub placement: Arc<Placement>,
    /// The CPU budget.
    pub cpu: Duration,
}

/// Time slices on the background threads for work that has no guest. Together it has the share of
/// one tenant.
pub struct Slices {
    queues: Arc<RunQueues>,
    lanes: Arc<GuestLanes>,
    background: Handle,
}

impl Slices {
    /// Slices of `queues`, on the threads of `background`.
    pub fn new(queues: Arc<RunQueues>, background: Handle) -> Self {
        Self {
            queues,
            lanes: Arc::new(GuestLanes::new(1)),
            background,
        }
    }

    /// A payer that adds to `cpu_time`, and whose budget is spent once that is `cpu`.
    pub fn payer(&self, cpu_time: Arc<CpuTime>, cpu: Duration) -> Payer {
        let long_running = Arc::new(LongRunning::always());
        Payer {
            meter: Arc::new(Meter::new(cpu_time)),
            placement: Arc::new(Placement::new(&self.queues, &self.lanes, &long_running)),
            cpu,
        }
    }

    /// Runs `work`, which `payer` pays for. The work ends if the returned future is dropped.
    pub async fn run<T: Send + 'static>(
        &self,
        payer: Payer,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, JoinError> {
        let paid = async move {
            let measured = payer.meter.measure(|| PollClock::Thread, work);
            payer.placement.run(measured).await
        };
        AbortOnDropHandle::new(self.background.spawn(paid)).await
    }
}
