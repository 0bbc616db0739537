//! The control plane's database: what the host knows of its tenants.
//!
//! One trait per concern, composed as [`Repository`]; one folder per database that implements them, with the same
//! file names. Every method that touches what belongs to a tenant takes the tenant first. What is absent is `None`
//! or `false`; an [`DbError`] means that the question was not answered.

mod api_keys;
mod audit;
mod components;
mod counts;
mod error;
mod host_key;
mod invocations;
mod leases;
mod log_lines;
mod page;
mod plans;
mod plugins;
mod removals;
mod routing;
mod secrets;
pub mod set_aside;
mod settings;
mod tenants;
mod tokens;

pub mod sqlite;
pub mod vault;

#[cfg(test)]
pub(crate) mod conformance;

use async_trait::async_trait;

pub use api_keys::ApiKeys;
pub use audit::{Audit, AuditFilter};
pub use components::{ComponentPosition, Components, StoredComponent};
pub use counts::{Counted, Counts};
pub use error::DbError;
pub use host_key::{HostKeys, Resealed};
pub use invocations::{Entry, HourlyUsage, InvocationFilter, Invocations, Kept, UsageSum};
pub use leases::{Claim, Lease, Leases};
pub use log_lines::{LinesWritten, LogFilter, LogLines, LogPosition, StoredLogLine, WrittenAfter};
pub use page::Page;
pub use plans::Plans;
pub use plugins::{Plugins, VersionPosition};
pub use removals::{Removal, Removals};
pub use routing::{RoutedPlugin, RoutedTenant, Routing};
pub use secrets::Secrets;
pub use settings::Settings;
pub use tenants::{TenantChange, Tenants};
pub use tokens::Tokens;

/// Everything that the control plane stores.
#[async_trait]
pub trait Repository:
    ApiKeys
    + Audit
    + Components
    + Counted
    + HostKeys
    + Invocations
    + Leases
    + LogLines
    + Plans
    + Plugins
    + Removals
    + Routing
    + Secrets
    + Settings
    + Tenants
    + Tokens
    + Send
    + Sync
    + 'static
{
    /// Closes the database, after what is under way.
    async fn close(&self);
}
