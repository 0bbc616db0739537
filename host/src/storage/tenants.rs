//! Tenants.

use async_trait::async_trait;

use super::{DbError, Page};
use crate::domain::audit::Change;
use crate::domain::id::{PlanName, TenantId, TenantName};
use crate::domain::limits::LimitOverrides;
use crate::domain::tenant::Tenant;

/// What to change of a tenant; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantChange {
    /// Another plan.
    pub plan: Option<PlanName>,
    /// Other overrides, in place of all former ones.
    pub limits: Option<LimitOverrides>,
    /// Suspended or not.
    pub suspended: Option<bool>,
}

/// Makes the changes of a tenant from the tenant before and after, one for each kind of change. If
/// there are none, nothing differs.
pub type ChangesOfTenant<'a> = dyn Fn(&Tenant, &Tenant) -> Vec<Change> + Send + Sync + 'a;

/// Tenants.
#[async_trait]
pub trait Tenants {
    /// Adds a tenant. [`DbError::Taken`] if the name is, [`DbError::Reserved`] if a deleted tenant has it,
    /// [`DbError::Missing`] if the plan is not there.
    async fn create_tenant(&self, tenant: &Tenant, change: &Change) -> Result<(), DbError>;

    /// The tenant with this id.
    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, DbError>;

    /// The tenant with this name.
    async fn tenant_by_name(&self, name: &TenantName) -> Result<Option<Tenant>, DbError>;

    /// Tenants by name.
    async fn tenants(&self, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError>;

    /// Changes a tenant and gives it back as it is then. [`DbError::Missing`] if the plan is not
    /// there.
    async fn change_tenant(
        &self,
        id: TenantId,
        change: &TenantChange,
        changes: &ChangesOfTenant<'_>,
    ) -> Result<Option<Tenant>, DbError>;

    /// Marks a tenant as deleted. From now on these methods do not find it, unless they say so. `false` if it
    /// is not there, or deleted already.
    async fn delete_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError>;

    /// The tenant with this name, deleted or not.
    async fn tenant_even_deleted(&self, name: &TenantName) -> Result<Option<Tenant>, DbError>;

    /// Deleted tenants by name.
    async fn deleted_tenants(&self, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError>;

    /// Makes a deleted tenant what it was. `false` if it is not there.
    async fn restore_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError>;

    /// Records that these tenants have a database of their own.
    async fn note_databases(&self, tenants: &[TenantId]) -> Result<(), DbError>;

    /// The tenants that have a database of their own, as far as their rows can be read.
    async fn tenants_with_databases(&self) -> Result<Vec<TenantId>, DbError>;

    /// Removes a tenant and everything of it but its audit log, and records which files are to be removed.
    /// `false` if it is not there.
    async fn purge_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError>;
}
