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

    /// Adds a row that belongs to no readable tenant.
    pub fn add_row(&self, problem: String) {
        self.lock().entry(None).or_default().push(problem);
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
