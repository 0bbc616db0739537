//! JSON of tenants.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{PlanName, TenantId, TenantName};
use crate::domain::limits::LimitOverrides;

/// A tenant.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TenantView {
    /// The id, which never changes. The tenant's database is `databases/<id>.db` in the data
    /// folder.
    pub id: TenantId,
    /// Name, which is the first segment of the tenant's URLs.
    pub name: TenantName,
    /// The plan, which sets the limits.
    pub plan: PlanName,
    /// Changes to the plan's limits for this tenant.
    pub limits: LimitOverrides,
    /// Whether the tenant is suspended. Its endpoints then answer 503.
    pub suspended: bool,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

/// A tenant to create.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Name: 1 to 63 of a-z, 0-9 and `-`, starting with a letter.
    pub name: TenantName,
    /// The plan; `standard` if absent.
    pub plan: Option<PlanName>,
    /// Changes to the plan's limits for this tenant.
    #[serde(default)]
    pub limits: LimitOverrides,
}

/// Changes to a tenant. Absent members stay as they are.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantPatch {
    /// The new plan.
    pub plan: Option<PlanName>,
    /// Changes to the plan's limits. They replace all former changes.
    pub limits: Option<LimitOverrides>,
    /// Whether the tenant is suspended.
    pub suspended: Option<bool>,
}
