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

/// An admitted invocation. It occupies one of the tenant's queue positions until it is dropped.
pub struct Admission {
    pub(super) admitted: Admitted,
    _counted: GaugeGuard,
}

/// The permits that an invocation holds while it runs.
pub(super) struct Permits {
    /// A permit for one running invocation of the tenant.
    pub concurrency: OwnedSemaphorePermit,
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

    /// Admits an invocation, or refuses it at once.
    pub fn admit(&self, target: &Target) -> Result<Admission, Rejected> {
        target.check_unread()?;
        let admitted = target.tenant.admission.admit()?;
        Ok(Admission {
            admitted,
            _counted: self.requests.admitted.hold(),
        })
    }

    /// Waits, each time for at most the tenant's `queue_wait`, until the tenant has fewer
    /// invocations running than it may, and then for an instance of the host.
    pub(super) async fn permits(&self, target: &Target, admission: &Admission) -> Result<Permits, Rejected> {
        let waiting = self.requests.waiting.hold();
        let concurrency = admission.admitted.permit().await?;
        let queue_wait = target.queue_wait();
        let instance = {
            // In a block, so that the outer future reuses the memory of this one.
            let lane = &target.tenant.admission.lanes().instances;
            let acquire = pin!(self.instances.acquire(lane));
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
            concurrency,
            instance,
        })
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
