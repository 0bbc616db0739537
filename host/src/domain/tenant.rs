//! Tenants, and the plans with their limits.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{PlanName, TenantId, TenantName};
use super::limits::LimitOverrides;

/// A customer of the host. Data and limits are isolated per tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The id by which the tenant's data refers to it.
    pub id: TenantId,
    /// The name, which is the first segment of the tenant's URLs.
    pub name: TenantName,
    /// The plan, which sets the limits.
    pub plan: PlanName,
    /// Changes to the plan's limits for this tenant.
    pub limits: LimitOverrides,
    /// Whether the tenant is suspended. Its endpoints then answer 503.
    pub suspended: bool,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of deletion. The tenant can be restored until it is purged.
    pub deleted_at: Option<Timestamp>,
}

/// A named set of limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    /// The name of the plan.
    pub name: PlanName,
    /// Changes to the host's defaults.
    pub limits: LimitOverrides,
}

impl Plan {
    /// The plan of a tenant that is created without one. It cannot be deleted.
    pub const DEFAULT: &str = "standard";
}
