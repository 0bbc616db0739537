//! The control plane's database: what the host knows of its tenants.
//!
//! One trait per concern, composed as [`Repository`]; one folder per database that implements them,
//! with the same file names. Every method that touches what belongs to a tenant takes the tenant
//! first. What is absent is `None` or `false`; a [`DbError`] means that the question was not
//! answered.
//!
//! A method that changes something takes a [`Change`](crate::domain::audit::Change): it writes the
//! row and the entry of the audit log in one transaction. If the gateway reads what changed, the
//! same transaction raises the tenant's generation. If there is nothing to change, it writes
//! nothing. Methods without a `Change` maintain the host's own records: what was recorded, removed
//! or forgotten.

mod api_keys;
mod audit;
mod calls;
mod components;
mod counts;
mod doorbell;
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
mod totals;

pub mod sqlite;
pub mod vault;

#[cfg(test)]
pub(crate) mod conformance;

use async_trait::async_trait;

pub use api_keys::ApiKeys;
pub use audit::{Audit, AuditFilter};
pub use calls::{CALL_DAYS_KEPT, CALLERS_A_DAY, CallCounts, CallFilter, CallPosition, Caller, CountedCalls};
pub use components::{ComponentPosition, Components, StoredComponent};
pub use counts::{Counted, Counts};
pub use doorbell::{Changed, Doorbell};
pub use error::DbError;
pub use host_key::{HostKeys, Resealed};
pub use invocations::{Entry, InvalidStatusFilter, InvocationFilter, Invocations, Kept, StatusFilter};
pub use leases::{Claim, Lease, Leases};
pub use log_lines::{LinesWritten, LogFilter, LogLines, LogPosition, StoredLogLine, WrittenAfter};
pub use page::Page;
pub use plans::Plans;
pub use plugins::{Plugins, VersionPosition};
pub use removals::{Removal, Removals};
pub use routing::{ListedTenant, RoutedPlugin, RoutedTenant, RoutedTenants, Routing};
pub use secrets::Secrets;
pub use settings::Settings;
pub use tenants::{TenantChange, Tenants};
pub use tokens::Tokens;
pub use totals::{Calls, DailyCalls, HourlyUsage, RouteDay, Totals};

/// Everything that the control plane stores.
#[async_trait]
pub trait Repository:
    ApiKeys
    + Audit
    + CallCounts
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
