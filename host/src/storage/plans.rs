//! Plans: named sets of limits.

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::AuditEntry;
use crate::domain::id::PlanName;
use crate::domain::tenant::Plan;

/// Makes entries of the audit log of a plan as it was before a change. They are written in the
/// transaction of the change.
pub type EntriesOfPlan<'a> = dyn Fn(Option<&Plan>) -> Vec<AuditEntry> + Send + Sync + 'a;

/// Plans. There are few, so their list is not paged.
#[async_trait]
pub trait Plans {
    /// Makes or replaces a plan, with the entries of the audit log that `entries` makes of what was
    /// there before.
    async fn put_plan(&self, plan: &Plan, entries: &EntriesOfPlan<'_>) -> Result<(), DbError>;

    /// The plan with this name.
    async fn plan(&self, name: &PlanName) -> Result<Option<Plan>, DbError>;

    /// All plans by name.
    async fn plans(&self) -> Result<Vec<Plan>, DbError>;

    /// Deletes a plan, with the entries of the audit log that `entries` makes of it.
    /// [`DbError::InUse`] where a tenant is on it; `false` where it was not there.
    async fn delete_plan(&self, name: &PlanName, entries: &EntriesOfPlan<'_>) -> Result<bool, DbError>;
}
