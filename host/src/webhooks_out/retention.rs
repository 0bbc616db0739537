//! Deletes deliveries that are old, or more than a tenant may keep.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::clock::SharedClock;
use crate::storage::{DbError, Repository};
use crate::tenants::Routing;

/// The most deliveries of one transaction, so that other writers run in between.
const BLOCK: u32 = 500;

/// Deletes deliveries that ended.
pub struct Retention {
    db: Arc<dyn Repository>,
    routing: Arc<Routing>,
    clock: SharedClock,
    kept: Duration,
}

impl Retention {
    /// Deliveries are deleted this long after they ended.
    pub fn new(db: Arc<dyn Repository>, routing: Arc<Routing>, clock: SharedClock, kept: Duration) -> Self {
        Self {
            db,
            routing,
            clock,
            kept,
        }
    }

    /// Deletes once what is not to be kept any more. Returns how many deliveries.
    pub async fn pass(&self) -> Result<u64, DbError> {
        let before = self.clock.now().saturating_sub(self.kept);
        let mut all = 0;
        loop {
            let deleted = self.db.prune_deliveries(before, BLOCK).await?;
            all += u64::from(deleted);
            if deleted < BLOCK {
                break;
            }
        }
        for tenant in self.db.tenants_with_endpoints().await? {
            // The deliveries of a deleted tenant stay until it is restored or purged.
            let Some(routes) = self.routing.tenant_by_id(tenant) else {
                continue;
            };
            loop {
                let kept = routes.limits.deliveries_kept;
                let deleted = self.db.trim_deliveries(tenant, kept, BLOCK).await?;
                all += u64::from(deleted);
                if deleted < BLOCK {
                    break;
                }
            }
        }
        Ok(all)
    }
}
