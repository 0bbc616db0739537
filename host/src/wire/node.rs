//! JSON of a running host's state.

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
    /// Start time of the host.
    pub started_at: Timestamp,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Whether it is shutting down.
    pub draining: bool,
    /// Counts of the ledger since the start.
    pub ledger: LedgerView,
    /// Current gauges of the host.
    pub gauges: Gauges,
    /// Tenants whose databases are damaged. The host does not use them until a backup replaces
    /// them.
    pub damaged_databases: Vec<DamagedDatabase>,
    /// Tenants and plugins that answer 503, because their stored data cannot be read. The host
    /// retries by itself.
    pub unavailable: Vec<UnavailableView>,
    /// Progress of compiling active versions whose code is missing or belongs to another engine.
    pub recompile: RecompileView,
    /// Rows that cannot be read but stop no tenant, for instance that of an API key.
    pub unreadable_rows: Vec<String>,
    /// Secrets that cannot be decrypted with the host's key, at most 1,000. An owner has to set
    /// them again.
    pub unreadable_secrets: Vec<UnreadableSecretView>,
    /// Files in `set-aside`, at most 1,000. They belong to no known tenant or version.
    pub set_aside: Vec<String>,
}

/// A tenant or plugin that cannot be served.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnavailableView {
    /// The tenant.
    pub tenant: TenantName,
    /// The plugin; absent if no plugin of the tenant can be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginName>,
    /// The reason.
    pub reason: String,
}

/// A secret that must be set again.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnreadableSecretView {
    /// The tenant.
    pub tenant: TenantName,
    /// Name of the secret.
    pub name: String,
}

/// A tenant's database that must be restored.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DamagedDatabase {
    /// The tenant.
    pub tenant: TenantName,
    /// Name of the file in the folder `databases`.
    pub file: String,
}

/// Counts of invocation records.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerView {
    /// Written records.
    pub written: u64,
    /// Records dropped because the queue was full.
    pub dropped: u64,
    /// Records written without their log lines, because too many bytes of lines were queued.
    pub without_lines: u64,
    /// Records lost because the database refused them.
    pub lost: u64,
}

/// Progress of compiling active versions again after a start.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecompileView {
    /// Versions still to be compiled.
    pub to_do: u64,
    /// Compiled versions.
    pub done: u64,
    /// Versions whose compilation failed.
    pub failed: u64,
    /// Up to 100 of the failures.
    pub failures: Vec<FailedRecompileView>,
}

/// A version whose compilation failed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct FailedRecompileView {
    /// The version.
    pub version: VersionDigest,
    /// The reason.
    pub reason: String,
}
