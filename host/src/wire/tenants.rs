//! Tenants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{PlanName, TenantId, TenantName};
use crate::domain::limits::LimitOverrides;

/// A tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantView {
    /// What never changes: the tenant's database is `databases/<id>.db` in the data folder.
    pub id: TenantId,
    /// The first segment of its URLs.
    pub name: TenantName,
    /// The set of limits it is on.
    pub plan: PlanName,
    /// Changes to the plan for this tenant alone.
    pub limits: LimitOverrides,
    /// A suspended tenant's endpoints answer 503.
    pub suspended: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// A tenant to be made.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// 1 to 63 of a-z, 0-9 and `-`, starting with a letter.
    pub name: TenantName,
    /// The set of limits; `standard` where it is absent.
    pub plan: Option<PlanName>,
    /// Changes to the plan for this tenant alone.
    #[serde(default)]
    pub limits: LimitOverrides,
}

/// What to change; what is absent stays.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// Another plan.
    pub plan: Option<PlanName>,
    /// Other changes to the plan, in place of all former ones.
    pub limits: Option<LimitOverrides>,
    /// Suspended or not.
    pub suspended: Option<bool>,
}
