//! Plans: named sets of limits.

use async_trait::async_trait;

use super::DbError;
use crate::domain::id::PlanName;
use crate::domain::tenant::Plan;

/// Plans. There are few, so their list is not paged.
#[async_trait]
pub trait Plans {
    /// Makes or replaces a plan.
    async fn put_plan(&self, plan: &Plan) -> Result<(), DbError>;

    /// The plan with this name.
    async fn plan(&self, name: &PlanName) -> Result<Option<Plan>, DbError>;

    /// All plans by name.
    async fn plans(&self) -> Result<Vec<Plan>, DbError>;

    /// Deletes a plan. [`DbError::InUse`] where a tenant is on it; `false` where it was not there.
    async fn delete_plan(&self, name: &PlanName) -> Result<bool, DbError>;
}
