//! Unreadable rows of the control plane that stop no tenant, listed for the operator.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::id::TenantId;

/// Problems by tenant; under `None` those of rows that belong to no readable tenant.
#[derive(Default)]
pub(super) struct Problems(Mutex<BTreeMap<Option<TenantId>, Vec<String>>>);

impl Problems {
    /// Replaces the problems of a tenant, and logs the new ones.
    pub fn set(&self, tenant: TenantId, problems: &[String]) {
        let mut all = self.lock();
        let known = all.remove(&Some(tenant)).unwrap_or_default();
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            tracing::error!(%tenant, %problem, "a row of a tenant cannot be read and is skipped");
        }
        if !problems.is_empty() {
            all.insert(Some(tenant), problems.to_vec());
        }
    }

    /// Removes the problems of a tenant.
    pub fn clear(&self, tenant: TenantId) {
        self.lock().remove(&Some(tenant));
    }

    /// Replaces the problems of rows that belong to no readable tenant, and logs the new ones.
    /// Returns whether they differ.
    pub fn set_unowned(&self, problems: Vec<String>) -> bool {
        let mut all = self.lock();
        let known = all.remove(&None).unwrap_or_default();
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            tracing::error!(%problem, "rows of the control plane belong to no readable tenant");
        }
        let is_news = problems != known;
        if !problems.is_empty() {
            all.insert(None, problems);
        }
        is_news
    }

    /// Whether there are unreadable rows that belong to no readable tenant.
    pub fn has_unowned(&self) -> bool {
        self.lock().contains_key(&None)
    }

    /// The tenants with problems.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.lock().keys().copied().flatten().collect()
    }

    /// All problems.
    pub fn all(&self) -> Vec<String> {
        let named = |(tenant, problems): (&Option<TenantId>, &Vec<String>)| {
            let of = tenant.map_or(String::new(), |tenant| format!("tenant {tenant}: "));
            problems
                .iter()
                .map(|problem| format!("{of}{problem}"))
                .collect::<Vec<_>>()
        };
        self.lock().iter().flat_map(named).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Option<TenantId>, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
