//! All that the gateway needs to know of a tenant but its API keys, read at one moment. Keys may be
//! many, and are kept in line one by one.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::DbError;
use crate::domain::grant::Grants;
use crate::domain::id::TenantId;
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
}

/// A plugin with what was allowed and set for it.
#[derive(Clone, Debug)]
pub struct RoutedPlugin {
    /// The plugin.
    pub plugin: Plugin,
    /// The version that serves, if any.
    pub active: Option<Version>,
    /// What it is allowed.
    pub grants: Grants,
    /// Its settings.
    pub config: BTreeMap<String, String>,
}

/// Reads for the gateway's snapshot.
#[async_trait]
pub trait Routing {
    /// The ids of all tenants.
    async fn tenant_ids(&self) -> Result<Vec<TenantId>, DbError>;

    /// Everything of one tenant, as it was at one moment.
    async fn routed_tenant(&self, id: TenantId) -> Result<Option<RoutedTenant>, DbError>;
}
