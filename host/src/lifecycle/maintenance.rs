//! Background tasks: one serves changes; the other reads failed tenants again and removes deleted
//! data.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Lifecycle;
use crate::storage::Changed;

/// How often the generations in the database are compared with the served ones.
const POLL: Duration = Duration::from_secs(1);

/// Delay after a notification, so that several changes are read together. A change of this node is
/// already served by then.
const GATHER: Duration = Duration::from_millis(50);

/// How often unavailable tenants and plugins are read again.
const RETRY: Duration = Duration::from_secs(10);

/// How often expired deletions and removable files are looked for.
const SWEEP: Duration = Duration::from_secs(60);

/// What woke the task that serves changes.
enum Call {
    Changed(Changed),
    Poll,
}

/// What woke the maintenance task.
enum Cause {
    Retry,
    Sweep,
}

impl Lifecycle {
    /// Starts the tasks on the current runtime. They end when the lifecycle is dropped, or with
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

    /// Starts the task that serves changes of tenants.
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

    /// Ends the tasks. Call it before the database is closed.
    pub fn end_maintenance(&self) {
        self.ended.cancel();
    }

    /// Sweeps, and logs a failure. The next sweep tries again.
    pub async fn sweep_or_later(&self) {
        if let Err(error) = self.sweep().await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "deleted data could not be purged or removed; the host tries again"
            );
        }
    }
}
