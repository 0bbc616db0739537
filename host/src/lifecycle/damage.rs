//! Stored data that was found damaged, for the operator.

use super::Lifecycle;
use crate::domain::id::TenantId;

impl Lifecycle {
    /// The tenants whose databases were found damaged.
    pub fn damaged_databases(&self) -> Vec<TenantId> {
        self.services.databases.damaged()
    }

    /// Rows that could not be read and stop no tenant: a key that does not work, for instance.
    pub fn unreadable_rows(&self) -> Vec<String> {
        self.problems.all()
    }
}
