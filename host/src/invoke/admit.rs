//! Admission control: decides whether an invocation may start, and waits for its permits.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::{Invoker, Target};
use crate::components::LoadError;
use crate::deadline::within;
use crate::fair_semaphore::Permit;
use crate::metrics::GaugeGuard;
use crate::tenants::{Admitted, Full, Unhealthy};

/// An admitted invocation.
pub enum Admission {
    /// A request of a caller, who waits for the response.
    Request(RequestAdmission),
    /// A job. The queue claims no more jobs than the node has slots and the tenant may run, so a
    /// job takes part in no limit of requests. It waits for an instance as long as it has to.
    Job,
}

/// An admitted request. It occupies one of the tenant's queue positions until it is dropped.
pub struct RequestAdmission {
    pub(super) admitted: Admitted,
    _counted: GaugeGuard,
}

/// The permits that an invocation holds while it runs.
pub(super) struct Permits {
    /// A permit for one running request of the tenant; `None` for a job.
    pub concurrency: Option<OwnedSemaphorePermit>,
    /// A permit for one instance of the host.
    pub instance: Permit,
}

/// Why an invocation did not run. Such an invocation has no record.
#[derive(Debug, thiserror::Error)]
pub enum NotRun {
    /// It was rejected.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The component cannot be loaded.
    #[error(transparent)]
    NotLoaded(LoadError),
}

/// Why an invocation was rejected. The caller may try again later.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The tenant has as many invocations running and waiting as it may, or the host has no
    /// instance left.
    #[error("too many requests are running")]
    Full {
        /// Value of `Retry-After`.
        retry_after: Duration,
    },
    /// Too many responses of the tenant wait for their callers to read them.
    #[error("too many responses wait for callers to read them")]
    Unread {
        /// Value of `Retry-After`.
        retry_after: Duration,
    },
    /// The component is being compiled or read from disk.
    #[error("the plugin is being prepared")]
    Preparing {
        /// Value of `Retry-After`.
        retry_after: Duration,
    },
    /// The circuit breaker of the route or the function is open.
    #[error("the circuit breaker is open")]
    Unhealthy(Unhealthy),
}

impl From<Full> for Rejected {
    fn from(full: Full) -> Self {
        Self::Full {
            retry_after: full.retry_after,
        }
    }
}

impl Invoker {
    /// Whether an invocation would be admitted now. It takes nothing.
    pub fn look(&self, target: &Target) -> Result<(), Rejected> {
        target.check_unread()?;
        match target.tenant.admission.is_full() {
            true => Err(target.tenant.admission.full().into()),
            false => Ok(()),
        }
    }

    /// Admits a request, or refuses it at once.
    pub fn admit(&self, target: &Target) -> Result<Admission, Rejected> {
        target.check_unread()?;
        let admitted = target.tenant.admission.admit()?;
        Ok(Admission::Request(RequestAdmission {
            admitted,
            _counted: self.requests.admitted.hold(),
        }))
    }

    /// Waits for the permits of an invocation.
    pub(super) async fn permits(&self, target: &Target, admission: &Admission) -> Result<Permits, Rejected> {
        match admission {
            Admission::Request(request) => self.permits_of_request(target, request).await,
            Admission::Job => Ok(Permits {
                concurrency: None,
                instance: self.instance(target).await,
            }),
        }
    }

    /// Waits, each time for at most the tenant's `queue_wait`, until the tenant has fewer requests
    /// running than it may, and then for an instance of the host.
    async fn permits_of_request(
        &self,
        target: &Target,
        admission: &RequestAdmission,
    ) -> Result<Permits, Rejected> {
        let waiting = self.requests.waiting.hold();
        let concurrency = admission.admitted.permit().await?;
        let queue_wait = target.queue_wait();
        let instance = {
            // In a block, so that the outer future reuses the memory of this one.
            let acquire = pin!(self.instance(target));
            within(queue_wait, acquire).await
        };
        let instance = instance.map_err(|_| Rejected::Full {
            retry_after: queue_wait,
        })?;
        drop(waiting);
        // Checked again, because otherwise every invocation that waited would add one more
        // response.
        target.check_unread()?;
        Ok(Permits {
            concurrency: Some(concurrency),
            instance,
        })
    }

    /// Waits for an instance of the host. The tenant's requests and jobs share one lane.
    async fn instance(&self, target: &Target) -> Permit {
        let lane = &target.tenant.admission.lanes().instances;
        self.instances.acquire(lane).await
    }
}

impl Admission {
    /// The number of the tenant's running and waiting requests when this one was admitted, itself
    /// included; zero for a job.
    pub(super) fn queue_position(&self) -> u32 {
        match self {
            Self::Request(request) => request.admitted.queue_position(),
            Self::Job => 0,
        }
    }
}

impl Target {
    fn queue_wait(&self) -> Duration {
        self.active.limits.queue_wait.0
    }

    fn check_unread(&self) -> Result<(), Rejected> {
        match self.tenant.backlog.has_room() {
            true => Ok(()),
            false => Err(Rejected::Unread {
                retry_after: self.queue_wait(),
            }),
        }
    }
}
