//! Keeps the served tenants in line with the stored ones.
//!
//! Every change of data that the gateway reads raises a generation of its tenant in the database.
//! A node compares these generations with the served ones and reads outdated tenants again: all
//! tenants each second, which guarantees that every change is served, and single tenants after a
//! notification. A node serves its own changes before it answers ([`Lifecycle::refresh`]).

use super::refresh::READ_AT_ONCE;
use super::{Lifecycle, LifecycleError};
use crate::domain::generation::Generations;
use crate::domain::id::TenantId;
use crate::storage::{Changed, DbError, ListedTenant};

/// Failed attempts in a row after which a tenant answers 503.
const PATIENT: u32 = 2;

/// A tenant to read again. With generations, it is only read if the served ones are older.
type Due = (TenantId, Option<Generations>);

impl Lifecycle {
    /// Reads every outdated tenant again, and stops serving deleted ones. Returns their number.
    pub async fn reconcile(&self) -> Result<usize, LifecycleError> {
        let listed = self.db.listed_tenants().await?;
        let readable: Vec<ListedTenant> = listed.into_iter().filter_map(Result::ok).collect();
        let due = |listed: &ListedTenant| (listed.id, Some(listed.generations));
        let mut due: Vec<Due> = readable.iter().map(due).filter(|due| self.is_due(*due)).collect();
        let served = readable
            .iter()
            .filter(|listed| self.routing.tenant_by_id(listed.id).is_some());
        if served.count() < self.routing.count() {
            // Some served tenants were deleted, or their rows cannot be read.
            let is_listed = |id: TenantId| readable.binary_search_by_key(&id, |listed| listed.id).is_ok();
            let routed = self.routing.all();
            let unlisted = routed.iter().filter(|tenant| !is_listed(tenant.id));
            due.extend(unlisted.map(|tenant| (tenant.id, None)));
        }
        let now = self.clock.now();
        due.retain(|(tenant, _)| self.failing.is_due(*tenant, now));
        let count = due.len();
        self.read_due(due).await;
        Ok(count)
    }

    /// Reads the changed tenants again that are outdated.
    pub async fn follow(&self, changed: Changed) {
        let due = changed.into_iter().filter(|due| self.is_due(*due));
        self.read_due(due.collect()).await;
    }

    /// Reads several tenants again after a change that revokes nothing, for instance of a plan. A
    /// tenant that cannot be read keeps its former state until the next attempt, unless its row is
    /// damaged.
    pub async fn refresh_many(&self, tenants: &[TenantId]) {
        self.read_due(tenants.iter().map(|tenant| (*tenant, None)).collect())
            .await;
    }

    async fn read_due(&self, mut due: Vec<Due>) {
        due.sort_unstable_by_key(|(tenant, _)| *tenant);
        for some in due.chunks(READ_AT_ONCE) {
            for tenant in self.read_at_once(some).await {
                // Routes are built without the lock.
                self.refresh(tenant).await;
            }
        }
    }

    /// Reads tenants again. They are sorted by id, which is the order of their locks. Returns those
    /// that have an active version without routes.
    async fn read_at_once(&self, due: &[Due]) -> Vec<TenantId> {
        let mut locks = Vec::with_capacity(due.len());
        for (tenant, _) in due {
            locks.push(self.changes.lock(*tenant).await);
        }
        // Another task may have read a tenant meanwhile.
        let due = due.iter().filter(|due| self.is_due(**due));
        let tenants: Vec<TenantId> = due.map(|(tenant, _)| *tenant).collect();
        if tenants.is_empty() {
            return Vec::new();
        }
        let mut read = self.read_many(&tenants).await;
        let mut incomplete = Vec::new();
        for tenant in tenants {
            let served = match read.remove(&tenant) {
                Some(Ok(stored)) => self.serve(stored).await,
                Some(Err(error)) => Err(error),
                None => {
                    self.stop_serving(tenant);
                    continue;
                }
            };
            match served {
                Ok(is_incomplete) => {
                    self.failing.clear(tenant);
                    incomplete.extend(is_incomplete.then_some(tenant));
                }
                Err(error) => {
                    let attempts = self.failing.failed(tenant, self.clock.now());
                    // A temporary failure ends by itself, a damaged row does not.
                    if attempts >= PATIENT || matches!(error, DbError::Corrupt { .. }) {
                        self.out_of_service(tenant, &error.into());
                    }
                }
            }
        }
        incomplete
    }

    fn is_due(&self, (tenant, stored): Due) -> bool {
        let Some(stored) = stored else { return true };
        let served = self.routing.tenant_by_id(tenant);
        served.is_none_or(|served| served.generations().are_behind(stored))
    }
}
