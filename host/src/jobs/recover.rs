//! Ends the attempts that an earlier process of this node left behind.
//!
//! The data folder is locked by one process, and the name of the node belongs to the folder. When a
//! process starts, nothing runs any more that the node ran before. Its jobs therefore need not wait
//! for the end of their leases.
//!
//! The last attempt of a job may have completed the job. Only the tenant's database knows, and a
//! slow one must not delay the start. The leases of these attempts therefore end here, and the
//! maintenance asks and ends the attempts as soon as it runs; see `lost.rs`.

use super::counters::Counters;
use super::logged_errors::{WorkError, in_time};
use crate::causes::with_causes;
use crate::domain::clock::Clock;
use crate::domain::job::JobState;
use crate::domain::units::as_u64;
use crate::storage::Repository;

/// The most attempts of one transaction.
const BLOCK: u32 = 500;

/// The attempts that the earlier process left behind.
#[derive(Default)]
struct Left {
    /// Attempts that were ended.
    attempts: u64,
    /// Of these, the attempts after which jobs are dead letters.
    dead: usize,
    /// Attempts that the maintenance ends.
    last: u32,
}

/// Ends the attempts of this node. If that fails, they end with their leases.
pub async fn recover(db: &dyn Repository, node: &str, clock: &dyn Clock, counters: &Counters) {
    match end(db, node, clock).await {
        Ok(Left {
            attempts: 0, last: 0, ..
        }) => {}
        Ok(Left { attempts, dead, last }) => {
            counters.lost(attempts);
            tracing::warn!(
                attempts,
                dead,
                last,
                "attempts were lost when the host ended; their jobs run again, except those whose last \
                 attempt it was"
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

async fn end(db: &dyn Repository, node: &str, clock: &dyn Clock) -> Result<Left, WorkError> {
    let mut left = Left::default();
    loop {
        let lost = in_time(db.reap_node(node, clock.now(), BLOCK)).await?;
        if lost.is_empty() {
            break;
        }
        left.attempts += as_u64(lost.len());
        left.dead += lost.iter().filter(|job| job.state == JobState::Dead).count();
    }
    left.last = in_time(db.expire_leases(node, clock.now())).await?;
    Ok(left)
}
