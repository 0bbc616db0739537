//! Functions of plugins: extension points that the application calls by name, with JSON as input
//! and output.

use std::collections::BTreeSet;

use http::Method;
use serde::{Deserialize, Serialize};

use super::id::FunctionName;
use super::manifest::{Auth, Rate};
use super::trigger_limits::TriggerLimits;

/// The method of the requests that call functions.
pub const METHOD: Method = Method::POST;

/// Below the mount point of a plugin: where its functions are.
pub const FUNCTIONS: &str = "/-/functions/";

/// The path of a function below the mount point of its plugin.
pub fn path(name: &FunctionName) -> String {
    format!("{FUNCTIONS}{name}")
}

/// A function that the plugin declares in its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// The name within the plugin.
    pub name: FunctionName,
    /// Kinds of credentials that the function accepts, or `public`.
    pub auth: Auth,
    /// Scopes that the caller needs. It needs all of them.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// Path of the input's JSON Schema inside the plugin.
    pub input: String,
    /// Path of the output's JSON Schema inside the plugin.
    pub output: String,
    /// How often each principal may call.
    pub rate: Option<Rate>,
    /// Limits of the function's invocations, lower than those of the plugin.
    #[serde(default)]
    pub limits: TriggerLimits,
}

/// The kind of answer that the plugin gave to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionOutcome {
    /// The function returned an output.
    Answered,
    /// The function rejected its input.
    InvalidInput,
    /// The function reported a failure.
    Failed,
}
