//! Deletes old mail, and the oldest of tenants that have too much.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::clock::SharedClock;
use crate::storage::{DbError, Repository};
use crate::tenants::Routing;

/// The most mails of one transaction, so that other writers run in between. A mail may be large.
const BLOCK: u32 = 50;

/// Keeps stored mail within its bounds.
pub struct MailRetention {
    /// The control plane's database.
    pub db: Arc<dyn Repository>,
    /// The tenants that this node serves, with their limits.
    pub routing: Arc<Routing>,
    /// The clock.
    pub clock: SharedClock,
    /// How long mail is kept after it was taken.
    pub keep: Duration,
}

impl MailRetention {
    /// Deletes what is to be deleted. Failures are logged; the next call tries again.
    pub async fn pass(&self) {
        match self.delete().await {
            Ok(0) => {}
            Ok(mails) => tracing::info!(mails, "old mail was deleted"),
            Err(error) => tracing::warn!(%error, "old mail could not be deleted; the host tries again"),
        }
    }

    async fn delete(&self) -> Result<u64, DbError> {
        let before = self.clock.now().saturating_sub(self.keep);
        let mut deleted = 0;
        loop {
            let block = self.db.prune_mails(before, BLOCK).await?;
            deleted += u64::from(block);
            if block < BLOCK {
                break;
            }
        }
        for (tenant, kept) in self.db.tenants_with_mails().await? {
            // The mail of a deleted tenant stays until it is restored or purged.
            let Some(routes) = self.routing.tenant_by_id(tenant) else {
                continue;
            };
            let most = u64::from(routes.limits.mails_kept);
            if kept <= most {
                continue;
            }
            loop {
                let block = self.db.trim_mails(tenant, most, BLOCK).await?;
                deleted += u64::from(block);
                if block < BLOCK {
                    break;
                }
            }
        }
        Ok(deleted)
    }
}
