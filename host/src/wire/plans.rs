//! JSON of plans, which are named sets of limits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::id::PlanName;
use crate::domain::limits::LimitOverrides;

/// A plan to create or replace.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    /// Name of the plan. It may be absent, and must equal the name in the path.
    pub name: Option<PlanName>,
    /// Changes to the host's defaults.
    pub limits: LimitOverrides,
}
