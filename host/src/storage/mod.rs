//! The control plane's database, which stores the host's data about tenants.
//!
//! Each concern has a trait, and [`Repository`] combines them. Each database has a folder of
//! implementations with the same file names. Methods for data of a tenant take the tenant as the
//! first argument. A missing row is `None` or `false`; a [`DbError`] means that the query failed.
//!
//! A method that changes something takes a [`Change`](crate::domain::audit::Change): it writes the
//! row and the entry of the audit log in one transaction. If the gateway reads what changed, the
//! same transaction raises the tenant's generation. If there is nothing to change, it writes
//! nothing. Methods without a `Change` maintain the host's own records: what was recorded, removed
//! or forgotten.

mod api_keys;
mod audit;
mod calls;
mod change_notifier;
mod components;
mod counts;
mod error;
mod host_key;
mod invocations;
mod job_reports;
mod jobs;
mod leases;
mod log_lines;
mod mail;
mod mail_lists;
mod mail_settings;
mod page;
mod plans;
mod plugins;
mod removals;
mod routing;
mod schedules;
mod secrets;
pub mod set_aside;
mod settings;
mod tenants;
mod tokens;
mod totals;
mod webhooks_out;
mod webhooks_received;

pub mod sqlite;
pub mod vault;

#[cfg(test)]
pub(crate) mod conformance;

use async_trait::async_trait;

pub use api_keys::ApiKeys;
pub use audit::{Audit, AuditFilter};
pub use calls::{CALL_DAYS_KEPT, CALLERS_A_DAY, CallCounts, CallFilter, CallPosition, Caller, CountedCalls};
pub use change_notifier::{ChangeNotifier, Changed};
pub use components::{ComponentPosition, Components, StoredComponent};
pub use counts::{Counted, Counts};
pub use error::DbError;
pub use host_key::{HostKeys, Resealed};
pub use invocations::{Entry, InvalidStatusFilter, InvocationFilter, Invocations, Kept, StatusFilter};
pub use job_reports::{JobReports, JobsOfKind, ReportedSchedule, ScheduledRun};
pub use jobs::{
    Acknowledged, Added, Cancelled, ClaimPolicy, ClaimRound, HeldJobs, JobCounts, JobFilter, JobPosition,
    Jobs, LostAttempt,
};
pub use leases::{Claim, Lease, Leases};
pub use log_lines::{LinesWritten, LogFilter, LogLines, LogPosition, StoredLogLine, WrittenAfter};
pub use mail::{MAIL_HOUR, MAIL_KEY_LIFETIME, MailAdded, Mails};
pub use mail_lists::{MailFilter, MailLists, MailPosition, MailTotals, Resent};
pub use mail_settings::MailSettings;
pub use page::Page;
pub use plans::Plans;
pub use plugins::{Plugins, VersionPosition};
pub use removals::{Removal, Removals};
pub use routing::{ListedTenant, PausedJobs, RoutedPlugin, RoutedTenant, RoutedTenants, Routing};
pub use schedules::{DueTime, ScheduleState, Schedules, Ticked};
pub use secrets::Secrets;
pub use settings::Settings;
pub use tenants::{TenantChange, Tenants};
pub use tokens::Tokens;
pub use totals::{Calls, DailyCalls, HourlyUsage, RouteDay, Totals};
pub use webhooks_out::{
    DeliveryFilter, DeliveryPosition, EndpointSecret, Replayed, WebhooksOut, secret_name,
};
pub use webhooks_received::{
    KeptWebhooks, Receipt, ReceivedFilter, ReceivedPosition, WebhookCounts, WebhooksReceived,
};

/// The whole control plane's database.
#[async_trait]
pub trait Repository:
    ApiKeys
    + Audit
    + CallCounts
    + Components
    + Counted
    + HostKeys
    + Invocations
    + JobReports
    + Jobs
    + Leases
    + LogLines
    + MailLists
    + MailSettings
    + Mails
    + Plans
    + Plugins
    + Removals
    + Routing
    + Schedules
    + Secrets
    + Settings
    + Tenants
    + Tokens
    + WebhooksOut
    + WebhooksReceived
    + Send
    + Sync
    + 'static
{
    /// Closes the database after running operations.
    async fn close(&self);
}
