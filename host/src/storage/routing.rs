//! Queries for serving requests: all data of a tenant except its API keys, read in one transaction.
//! Keys may be many, so they are updated one by one.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;

use super::{Changed, DbError};
use crate::domain::generation::Generations;
use crate::domain::grant::Grants;
use crate::domain::id::{JobName, TenantId, TenantName};
use crate::domain::plugin::{Plugin, Version};
use crate::domain::tenant::{Plan, Tenant};
use crate::domain::webhook_out::EndpointTopics;
use crate::storage::vault::Sealed;

/// A tenant in the list of all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedTenant {
    /// The id of the tenant.
    pub id: TenantId,
    /// The name of the tenant.
    pub name: TenantName,
    /// The generations of the tenant.
    pub generations: Generations,
}

/// Tenants that were read in one transaction. A missing tenant has no entry. The value is
/// [`DbError::Corrupt`] if the tenant's own row or plan cannot be read. A damaged row of a plugin
/// only affects that plugin.
pub type RoutedTenants = HashMap<TenantId, Result<RoutedTenant, DbError>>;

/// All data for serving a tenant's requests, except its API keys.
#[derive(Clone, Debug)]
pub struct RoutedTenant {
    /// The generations of this data.
    pub generations: Generations,
    /// The tenant.
    pub tenant: Tenant,
    /// The plan of the tenant.
    pub plan: Plan,
    /// The plugins by name, including those without an active version.
    pub plugins: Vec<RoutedPlugin>,
    /// The encrypted secrets.
    pub secrets: BTreeMap<String, Sealed>,
    /// The enabled endpoints for webhooks.
    pub endpoints: Vec<EndpointTopics>,
    /// Problems with single rows that do not stop the tenant, for the operator.
    pub problems: Vec<String>,
}

/// A plugin with its grants and settings.
#[derive(Clone, Debug)]
pub struct RoutedPlugin {
    /// The plugin.
    pub plugin: Plugin,
    /// The active version, if any; or why the plugin's stored data cannot be read.
    pub active: Result<Option<Version>, String>,
    /// What the plugin is allowed.
    pub grants: Grants,
    /// The settings of the plugin.
    pub config: BTreeMap<String, String>,
    /// Its paused jobs.
    pub paused: PausedJobs,
}

/// Which jobs of a plugin are paused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PausedJobs {
    /// Whether all are.
    pub all: bool,
    /// Kinds of jobs that are paused on their own.
    pub jobs: BTreeSet<JobName>,
}

/// Queries for the snapshots of tenants.
#[async_trait]
pub trait Routing {
    /// Lists all tenants. A row that cannot be read is an error of its own.
    async fn listed_tenants(&self) -> Result<Vec<Result<ListedTenant, DbError>>, DbError>;

    /// Waits until a change is committed. Returns the tenants that changed since the last call. It
    /// may miss changes, for instance of other nodes; [`Routing::listed_tenants`] misses none.
    async fn changed(&self) -> Changed;

    /// Rows that refer to missing rows, as one sentence per table.
    async fn orphans(&self) -> Result<Vec<String>, DbError>;

    /// All data of some tenants, read in one transaction.
    async fn routed_tenants(&self, ids: &[TenantId]) -> Result<RoutedTenants, DbError>;

    /// All data of one tenant.
    async fn routed_tenant(&self, id: TenantId) -> Result<Option<RoutedTenant>, DbError> {
        let mut read = self.routed_tenants(&[id]).await?;
        read.remove(&id).transpose()
    }
}
