//! Storage of tenants.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::id::{PlanName, TenantId, TenantName};
use crate::domain::limits::LimitOverrides;
use crate::domain::tenant::Tenant;

/// Changes to a tenant. `None` keeps a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// The new plan.
    pub plan: Option<PlanName>,
    /// The new overrides, which replace all former ones.
    pub limits: Option<LimitOverrides>,
    /// Whether the tenant is suspended.
    pub suspended: Option<bool>,
}

/// Creates the changes of a tenant from its former and new state, one for each kind of change. The
/// result is empty if nothing differs.
pub type ChangesOfTenant<'a> = dyn Fn(&Tenant, &Tenant) -> Vec<Change> + Send + Sync + 'a;

/// Tenants in the database.
#[async_trait]
pub trait Tenants {
    /// Adds a tenant. [`DbError::Taken`] if another tenant has the name, [`DbError::Reserved`] if a
    /// deleted one has it, [`DbError::Missing`] if there is no such plan.
    async fn create_tenant(&self, tenant: &Tenant, change: &Change) -> Result<(), DbError>;

    /// A tenant by id.
    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, DbError>;

    /// A tenant by name.
    async fn tenant_by_name(&self, name: &TenantName) -> Result<Option<Tenant>, DbError>;

    /// Lists tenants by name.
    async fn tenants(&self, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError>;

    /// Changes a tenant and returns its new state. [`DbError::Missing`] if there is no such plan.
    async fn change_tenant(
        &self,
        id: TenantId,
        change: &TenantChange,
        changes: &ChangesOfTenant<'_>,
    ) -> Result<Option<Tenant>, DbError>;

    /// Marks a tenant as deleted. Other methods then no longer find it, unless they say so. `false`
    /// if there is no such tenant, or it is deleted already.
    async fn delete_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError>;

    /// A tenant by name, deleted or not.
    async fn tenant_even_deleted(&self, name: &TenantName) -> Result<Option<Tenant>, DbError>;

    /// Lists deleted tenants by name.
    async fn deleted_tenants(&self, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError>;

    /// Restores a deleted tenant. `false` if there is no such tenant.
    async fn restore_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError>;

    /// Records that these tenants have a database of their own.
    async fn note_databases(&self, tenants: &[TenantId]) -> Result<(), DbError>;

    /// The tenants that have a database of their own. Unreadable rows are skipped.
    async fn tenants_with_databases(&self) -> Result<Vec<TenantId>, DbError>;

    /// Purges a tenant with all of its data except the audit log, and marks its files for removal.
    /// `false` if there is no such tenant.
    async fn purge_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError>;
}
