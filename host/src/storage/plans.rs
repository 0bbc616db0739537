//! Plans: named sets of limits.

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::Change;
use crate::domain::id::{PlanName, TenantId};
use crate::domain::tenant::Plan;

/// Makes the change of a plan from the plan as it was before, which is read in the same
/// transaction.
pub type ChangeOfPlan<'a> = dyn Fn(Option<&Plan>) -> Change + Send + Sync + 'a;

/// Plans. There are few, so their list is not paged.
#[async_trait]
pub trait Plans {
    /// Makes or replaces a plan. Gives back the tenants on it, in the order of their ids: the plan
    /// is a change of each.
    async fn put_plan(&self, plan: &Plan, change: &ChangeOfPlan<'_>) -> Result<Vec<TenantId>, DbError>;

    /// The plan with this name.
    async fn plan(&self, name: &PlanName) -> Result<Option<Plan>, DbError>;

    /// All plans by name.
    async fn plans(&self) -> Result<Vec<Plan>, DbError>;

    /// Deletes a plan. [`DbError::InUse`] if a tenant is on it; `false` if it was not there.
    async fn delete_plan(&self, name: &PlanName, change: &ChangeOfPlan<'_>) -> Result<bool, DbError>;
}
