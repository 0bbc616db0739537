//! The tasks beside the requests: one serves changes, the other reads again what failed, and
//! sweeps.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Lifecycle;
use crate::storage::Changed;

/// How often the generations of all tenants are compared with those that are served.
const POLL: Duration = Duration::from_secs(1);

/// Waiting after the doorbell rang, so that changes that come together are read together. A node
/// that makes a change itself has served it by then.
const GATHER: Duration = Duration::from_millis(50);

/// How often tenants and plugins that cannot be served are tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How often deletions are looked at whose grace period may be over, and files that may be removed
/// by now.
const SWEEP: Duration = Duration::from_secs(60);

/// Why the task of changes goes on.
enum Call {
    Changed(Changed),
    Poll,
}

/// Why the task of maintenance goes on.
enum Cause {
    Retry,
    Sweep,
}

impl Lifecycle {
    /// Starts the tasks on the current runtime. They end with the lifecycle, or with
    /// [`Self::end_maintenance`].
    pub fn start_maintenance(self: &Arc<Self>) {
        self.start_following();
        let (purged, ended) = (self.purged.clone(), self.ended.clone());
        let lifecycle = Arc::downgrade(self);
        tokio::spawn(async move {
            let (mut retry, mut sweep) = (interval(RETRY), interval(SWEEP));
            retry.set_missed_tick_behavior(MissedTickBehavior::Delay);
            sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let cause = tokio::select! {
                    _ = retry.tick() => Cause::Retry,
                    () = purged.notified() => Cause::Sweep,
                    _ = sweep.tick() => Cause::Sweep,
                    () = ended.cancelled() => break,
                };
                let Some(lifecycle) = lifecycle.upgrade() else {
                    break;
                };
                match cause {
                    Cause::Retry => lifecycle.retry().await,
                    Cause::Sweep => lifecycle.sweep_or_later().await,
                }
            }
        });
    }

    /// Starts the task that serves the changes of tenants.
    fn start_following(self: &Arc<Self>) {
        let (db, ended) = (self.db.clone(), self.ended.clone());
        let lifecycle = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut poll = interval(POLL);
            poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut listed_before = true;
            loop {
                let call = tokio::select! {
                    _ = poll.tick() => Call::Poll,
                    changed = db.changed() => Call::Changed(changed),
                    () = ended.cancelled() => break,
                };
                let Some(lifecycle) = lifecycle.upgrade() else {
                    break;
                };
                match call {
                    Call::Changed(changed) => {
                        sleep(GATHER).await;
                        lifecycle.follow(changed).await;
                    }
                    Call::Poll => {
                        let listed = lifecycle.reconcile().await;
                        let is_news = listed_before && !ended.is_cancelled();
                        if let Some(error) = listed.as_ref().err().filter(|_| is_news) {
                            tracing::warn!(%error, "the tenants cannot be listed; the host tries again each second");
                        }
                        listed_before = listed.is_ok();
                    }
                }
            }
        });
    }

    /// Ends the tasks, before the database is closed.
    pub fn end_maintenance(&self) {
        self.ended.cancel();
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
