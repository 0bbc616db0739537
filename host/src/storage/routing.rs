//! All that the gateway needs to know of a tenant but its API keys, read at one moment. Keys may be
//! many, and are kept in line one by one.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;

use super::{Changed, DbError};
use crate::domain::generation::Generations;
use crate::domain::grant::Grants;
use crate::domain::id::{TenantId, TenantName};
use crate::domain::plugin::{Plugin, Version};
use crate::domain::tenant::{Plan, Tenant};
use crate::storage::vault::Sealed;

/// A tenant as it stands in the list of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTenant {
    /// Its id.
    pub id: TenantId,
    /// Its name.
    pub name: TenantName,
    /// How often it was changed.
    pub generations: Generations,
}

/// Tenants that were read at one moment. A tenant that is not there is missing.
/// [`DbError::Corrupt`] stands for a tenant whose own row or plan cannot be read; what cannot be
/// read of a plugin stops only that.
pub type RoutedTenants = HashMap<TenantId, Result<RoutedTenant, DbError>>;

/// A tenant with everything that serving its requests takes, besides its API keys.
#[derive(Clone, Debug)]
pub struct RoutedTenant {
    /// The generations that this is of.
    pub generations: Generations,
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
    /// All tenants. A row that cannot be read is an error of its own.
    async fn listed_tenants(&self) -> Result<Vec<Result<ListedTenant, DbError>>, DbError>;

    /// Waits until a change is committed, and gives back the tenants that changed since the last
    /// call. It may miss changes, those of other nodes for instance: [`Routing::listed_tenants`]
    /// misses none.
    async fn changed(&self) -> Changed;

    /// Rows of tenants' configuration that refer to a row that is not there, in a sentence for each table.
    async fn orphans(&self) -> Result<Vec<String>, DbError>;

    /// Everything of some tenants, as it was at one moment.
    async fn routed_tenants(&self, ids: &[TenantId]) -> Result<RoutedTenants, DbError>;

    /// Everything of one tenant.
    async fn routed_tenant(&self, id: TenantId) -> Result<Option<RoutedTenant>, DbError> {
        let mut read = self.routed_tenants(&[id]).await?;
        read.remove(&id).transpose()
    }
}
