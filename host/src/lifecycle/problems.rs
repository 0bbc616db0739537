//! Rows of the control plane that could not be read and stop no tenant, for the operator.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::id::TenantId;

/// What could not be read, by tenant; under `None` what belongs to no readable tenant.
#[derive(Default)]
pub(super) struct Problems(Mutex<BTreeMap<Option<TenantId>, Vec<String>>>);

impl Problems {
    /// Replaces what is known of a tenant. What is new is logged.
    pub fn set(&self, tenant: TenantId, problems: &[String]) {
        let mut all = self.lock();
        let known = all.remove(&Some(tenant)).unwrap_or_default();
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            tracing::error!(%tenant, %problem, "something of a tenant cannot be read and is left out");
        }
        if !problems.is_empty() {
            all.insert(Some(tenant), problems.to_vec());
        }
    }

    /// Forgets a tenant.
    pub fn clear(&self, tenant: TenantId) {
        self.lock().remove(&Some(tenant));
    }

    /// Replaces what is known of rows that belong to no readable tenant. Whether that is news, which is
    /// logged.
    pub fn set_unowned(&self, problems: Vec<String>) -> bool {
        let mut all = self.lock();
        let known = all.remove(&None).unwrap_or_default();
        for problem in problems.iter().filter(|problem| !known.contains(problem)) {
            tracing::error!(%problem, "rows of the control plane belong to no tenant that can be read");
        }
        let is_news = problems != known;
        if !problems.is_empty() {
            all.insert(None, problems);
        }
        is_news
    }

    /// Whether there are rows that belong to no readable tenant.
    pub fn has_unowned(&self) -> bool {
        self.lock().contains_key(&None)
    }

    /// The tenants of which something could not be read.
    pub fn tenants(&self) -> Vec<TenantId> {
        self.lock().keys().copied().flatten().collect()
    }

    /// All of them.
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
