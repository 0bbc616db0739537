//! JSON of plugins and their health.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, PluginName, VersionDigest};

/// A plugin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginView {
    /// Name, which is the second segment of the plugin's URLs.
    pub name: PluginName,
    /// The version that serves requests, if any.
    pub active: Option<VersionDigest>,
    /// The author's name for the active version, such as `1.2.0`; absent if none is active or it
    /// cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_version: Option<String>,
    /// Whether the plugin is disabled. A disabled plugin answers 503 and keeps its data.
    pub disabled: bool,
    /// Number of stored versions.
    pub versions: u32,
    /// Time of the first upload.
    pub created_at: Timestamp,
    /// Time of deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// Health of the active version.
    pub health: HealthView,
    /// Secrets that its active version asks for and that are not set. Lists leave them out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Health of a plugin's active version.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// The worst state of its routes and functions, or `unavailable`.
    pub state: HealthState,
    /// Why the active version cannot be served; absent if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Routes that answer 503 because their circuit breaker is open. The others are served.
    pub routes: Vec<UnhealthyRouteView>,
    /// Functions that answer 503 because their circuit breaker is open.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<UnhealthyFunctionView>,
}

/// How requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// Requests run.
    Healthy,
    /// One request runs as a probe; the others are answered with 503 `plugin-unhealthy`.
    Probing,
    /// The circuit breaker is open: requests are answered with 503 `plugin-unhealthy`.
    Unhealthy,
    /// Requests are answered with 503 `unavailable`, because the plugin's stored data cannot be
    /// read. The host retries by itself. If the version's file is damaged, upload it again.
    Unavailable,
}

/// The open circuit breaker of a route or a function.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CircuitView {
    /// `unhealthy` or `probing`.
    pub state: HealthState,
    /// When the circuit breaker opened.
    pub since: Timestamp,
    /// The code of the problem that the last request or call ended with.
    pub reason: String,
    /// From when on a request or a call is let through to see whether it works again.
    pub next_probe_at: Timestamp,
}

/// A route that answers 503.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnhealthyRouteView {
    /// Method of the route.
    pub method: String,
    /// Path pattern of the route.
    pub path: String,
    #[serde(flatten)]
    pub circuit: CircuitView,
}

/// A function that answers 503.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UnhealthyFunctionView {
    /// Name of the function.
    pub name: FunctionName,
    #[serde(flatten)]
    pub circuit: CircuitView,
}

/// Changes to a plugin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginPatch {
    /// Whether the plugin is disabled.
    pub disabled: bool,
}
