//! All that the gateway needs to know of a tenant but its API keys, read at one moment. Keys may be
//! many, and are kept in line one by one.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::DbError;
use crate::domain::grant::Grants;
use crate::domain::id::{TenantId, TenantName};
use crate::domain::plugin::{Plugin, Version};
use crate::domain::tenant::{Plan, Tenant};
use crate::storage::vault::Sealed;

/// A tenant with everything that serving its requests takes, besides its API keys.
#[derive(Clone, Debug)]
pub struct RoutedTenant {
    /// The tenant.
    pub tenant: Tenant,
    /// Its plan.
    pub plan: Plan,
    /// Its plugins by name, those without an active version included.
    pub plugins: Vec<RoutedPlugin>,
    /// Its secrets, sealed.
    pub secrets: BTreeMap<String, Sealed>,
    /// What could not be read and does not stop the tenant, for the operator.
    pub problems: Vec<String>,
}

/// A plugin with what was allowed and set for it.
#[derive(Clone, Debug)]
pub struct RoutedPlugin {
    /// The plugin.
    pub plugin: Plugin,
    /// The version that serves, if any; or why what is stored of the plugin cannot be read.
    pub active: Result<Option<Version>, String>,
    /// What it is allowed.
    pub grants: Grants,
    /// Its settings.
    pub config: BTreeMap<String, String>,
}

/// Reads for the gateway's snapshot.
#[async_trait]
pub trait Routing {
    /// The ids and names of all tenants. A row whose id or name cannot be read is an error of its own.
    async fn tenant_names(&self) -> Result<Vec<Result<(TenantId, TenantName), DbError>>, DbError>;

    /// Rows of tenants' configuration that refer to a row that is not there, in a sentence for each table.
    async fn orphans(&self) -> Result<Vec<String>, DbError>;

    /// Everything of one tenant, as it was at one moment. [`DbError::Corrupt`] if the tenant's own row or its
    /// plan cannot be read; what cannot be read of a plugin stops only that.
    async fn routed_tenant(&self, id: TenantId) -> Result<Option<RoutedTenant>, DbError>;
}
