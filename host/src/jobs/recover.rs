//! Ends the attempts that an earlier process of this node left behind.
//!
//! The data folder is locked by one process, and the name of the node belongs to the folder. When a
//! process starts, nothing runs any more that the node ran before. Its jobs therefore need not wait
//! for the end of their leases.

use super::counters::Counters;
use super::logged_errors::{WorkError, in_time};
use crate::causes::with_causes;
use crate::domain::clock::Clock;
use crate::domain::job::JobState;
use crate::domain::units::as_u64;
use crate::storage::Repository;

/// The most attempts of one transaction.
const BLOCK: u32 = 500;

/// Ends the attempts of this node. If that fails, they end with their leases.
pub async fn recover(db: &dyn Repository, node: &str, clock: &dyn Clock, counters: &Counters) {
    match reap(db, node, clock).await {
        Ok((0, _)) => {}
        Ok((attempts, dead)) => {
            counters.lost(attempts);
            tracing::warn!(
                attempts,
                dead,
                "attempts were lost when the host ended; their jobs run again, or are dead letters after \
                 their last attempt"
            );
        }
        Err(error) => {
            let error = with_causes(&error);
            tracing::error!(
                error,
                "the jobs that ran when the host ended wait until their leases end"
            );
        }
    }
}

/// Returns the number of attempts, and of those that were the last one of their job.
async fn reap(db: &dyn Repository, node: &str, clock: &dyn Clock) -> Result<(u64, usize), WorkError> {
    let (mut attempts, mut dead) = (0, 0);
    loop {
        let lost = in_time(db.reap_node(node, clock.now(), BLOCK)).await?;
        if lost.is_empty() {
            return Ok((attempts, dead));
        }
        attempts += as_u64(lost.len());
        dead += lost.iter().filter(|job| job.state == JobState::Dead).count();
    }
}
