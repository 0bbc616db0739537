//! The host itself.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{PluginName, TenantName, VersionDigest};
use crate::metrics::Gauges;

/// This host.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NodeView {
    /// The version of mortise.
    pub version: String,
    /// When it started.
    pub started_at: Timestamp,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Whether it is shutting down.
    pub draining: bool,
    /// What was written of what ran, since the start.
    pub ledger: LedgerView,
    /// What it holds at this moment.
    pub gauges: Gauges,
    /// Tenants whose databases were found damaged. They are not used until a copy is put in their place.
    pub damaged_databases: Vec<DamagedDatabase>,
    /// Tenants and plugins that answer 503, since what the host stores of them cannot be read. The host tries
    /// again by itself.
    pub unavailable: Vec<UnavailableView>,
    /// How far the host is with compiling active versions whose code is missing or from another
    /// engine.
    pub recompile: RecompileView,
    /// Rows that cannot be read and stop no tenant: an API key that does not work, for instance.
    pub unreadable_rows: Vec<String>,
    /// Secrets that do not open under the host's key, at most 1,000. An owner has to set them again.
    pub unreadable_secrets: Vec<UnreadableSecretView>,
    /// Files in `set-aside`, at most 1,000: no tenant or version was known that they belong to.
    pub set_aside: Vec<String>,
}

/// What cannot be served.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnavailableView {
    /// Whose.
    pub tenant: TenantName,
    /// Which plugin; absent if none of the tenant's can be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
    /// Why.
    pub reason: String,
}

/// A secret that has to be set again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnreadableSecretView {
    /// Whose.
    pub tenant: TenantName,
    /// Its name.
    pub name: String,
}

/// A tenant's database that has to be restored.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DamagedDatabase {
    /// Whose it is.
    pub tenant: TenantName,
    /// Its file, in the folder `databases`.
    pub file: String,
}

/// What became of the records of invocations.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerView {
    /// Written.
    pub written: u64,
    /// Dropped because too many waited.
    pub dropped: u64,
    /// Written without their log lines because too many bytes of them waited.
    pub without_lines: u64,
    /// Given up because the database refused them.
    pub lost: u64,
}

/// Active versions that are compiled again after a start.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecompileView {
    /// Versions that are still to be compiled.
    pub to_do: u64,
    /// Versions that were compiled.
    pub done: u64,
    /// Versions that could not be compiled.
    pub failed: u64,
    /// Up to 100 of these.
    pub failures: Vec<FailedRecompileView>,
}

/// A version that could not be compiled again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FailedRecompileView {
    /// Which version.
    pub version: VersionDigest,
    /// Why.
    pub reason: String,
}
