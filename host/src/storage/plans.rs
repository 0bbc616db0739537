//! Storage of plans, which are named sets of limits.

use async_trait::async_trait;

use super::DbError;
use crate::domain::audit::Change;
use crate::domain::id::{PlanName, TenantId};
use crate::domain::tenant::Plan;

/// Creates the change of a plan from its former state, which is read in the same transaction.
pub type ChangeOfPlan<'a> = dyn Fn(Option<&Plan>) -> Change + Send + Sync + 'a;

/// Plans in the database. There are few, so lists have no pages.
#[async_trait]
pub trait Plans {
    /// Creates or replaces a plan. Returns the tenants on it, by id, since each of them changes.
    async fn put_plan(&self, plan: &Plan, change: &ChangeOfPlan<'_>) -> Result<Vec<TenantId>, DbError>;

    /// The plan with this name.
    async fn plan(&self, name: &PlanName) -> Result<Option<Plan>, DbError>;

    /// All plans by name.
    async fn plans(&self) -> Result<Vec<Plan>, DbError>;

    /// Deletes a plan. [`DbError::InUse`] if a tenant is on it; `false` if there is no such plan.
    async fn delete_plan(&self, name: &PlanName, change: &ChangeOfPlan<'_>) -> Result<bool, DbError>;
}
