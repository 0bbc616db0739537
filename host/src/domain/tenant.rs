//! Tenants and the plans that give them their limits.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{PlanName, TenantId, TenantName};
use super::limits::LimitOverrides;

/// A customer: the boundary that nothing crosses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The id that everything of the tenant refers to.
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
    /// When it was deleted. It can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// A named set of limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// Its name.
    pub name: PlanName,
    /// Changes to the host's defaults.
    pub limits: LimitOverrides,
}

impl Plan {
    /// The plan of a tenant that is created without one. It cannot be deleted.
    pub const DEFAULT: &str = "standard";
}
