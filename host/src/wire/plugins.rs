//! Plugins and their health.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::clock::Timestamp;
use crate::domain::id::{FunctionName, PluginName, VersionDigest};

/// A plugin.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PluginView {
    /// The second segment of its URLs.
    pub name: PluginName,
    /// The version that serves, if any.
    pub active: Option<VersionDigest>,
    /// The author's name for it, such as `1.2.0`; absent if there is none, or if it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author_version: Option<String>,
    /// A disabled plugin answers 503 and keeps everything else.
    pub disabled: bool,
    /// How many versions are kept of it.
    pub versions: u32,
    /// When its first version was uploaded.
    pub created_at: Timestamp,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
    /// How its active version fares.
    pub health: HealthView,
}

/// How the active version of a plugin fares.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct HealthView {
    /// The worst of its routes and functions, or `unavailable`.
    pub state: HealthState,
    /// Why the active version cannot be served at all; absent if it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Routes that answer 503 because they failed time after time. The others serve.
    pub routes: Vec<AilingRouteView>,
    /// Functions for which the same holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub functions: Vec<AilingFunctionView>,
}

/// Whether requests run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// They do.
    Healthy,
    /// One does, to see whether the others may.
    Probing,
    /// They are answered with 503 `plugin-unhealthy`.
    Unhealthy,
    /// They are answered with 503 `unavailable`: what the host stores of the plugin cannot be read. The host
    /// tries again by itself; uploading the version again helps if its file is damaged.
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
pub struct AilingRouteView {
    /// Its method.
    pub method: String,
    /// Its pattern.
    pub path: String,
    #[serde(flatten)]
    pub circuit: CircuitView,
}

/// A function that answers 503.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AilingFunctionView {
    /// Its name.
    pub name: FunctionName,
    #[serde(flatten)]
    pub circuit: CircuitView,
}

/// What to change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginPatch {
    /// Disabled or not.
    pub disabled: bool,
}
