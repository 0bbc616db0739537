//! Plans.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::id::PlanName;
use crate::domain::limits::LimitOverrides;

/// A plan to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPlan {
    /// The name that the address has; may be left out.
    pub name: Option<PlanName>,
    /// What differs from the host's defaults.
    pub limits: LimitOverrides,
}
