//! The task beside the requests: it reads again what could not be read, and sweeps.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Lifecycle;

/// How often tenants and plugins that cannot be served are tried again.
const RETRY: Duration = Duration::from_secs(10);

/// Waiting before a tenant is read again whose refresh failed.
const PAUSE: Duration = Duration::from_secs(1);

/// How often deletions are looked at whose grace period may be over, and files that may be removed
/// by now.
const SWEEP: Duration = Duration::from_secs(60);

/// Why the task goes on.
enum Cause {
    Stale,
    Retry,
    Sweep,
}

impl Lifecycle {
    /// Starts the task on the current runtime. It ends with the lifecycle.
    pub fn start_maintenance(self: &Arc<Self>) {
        let (stale, purged) = (self.stale.clone(), self.purged.clone());
        let lifecycle = Arc::downgrade(self);
        tokio::spawn(async move {
            let (mut retry, mut sweep) = (interval(RETRY), interval(SWEEP));
            retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
            sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let cause = tokio::select! {
                    () = stale.added() => Cause::Stale,
                    _ = retry.tick() => Cause::Retry,
                    () = purged.notified() => Cause::Sweep,
                    _ = sweep.tick() => Cause::Sweep,
                };
                if matches!(cause, Cause::Stale) {
                    sleep(PAUSE).await;
                }
                let Some(lifecycle) = lifecycle.upgrade() else {
                    break;
                };
                match cause {
                    Cause::Stale | Cause::Retry => lifecycle.retry().await,
                    Cause::Sweep => lifecycle.sweep_or_later().await,
                }
            }
        });
    }

    /// Sweeps. What fails is tried again with the next sweep.
    pub async fn sweep_or_later(&self) {
        if let Err(error) = self.sweep().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "what was deleted could not be purged or removed; the host tries again"
            );
        }
    }
}
