//! A function of a plugin: an extension point that the application calls by its name, JSON in and
//! JSON out.

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

/// The address of a function below the mount point of its plugin.
pub fn path(name: &FunctionName) -> String {
    format!("{FUNCTIONS}{name}")
}

/// A function that the plugin handles, as its manifest has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its name within the plugin.
    pub name: FunctionName,
    /// Who may call.
    pub auth: Auth,
    /// Scopes that the caller needs, all of them.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// JSON Schema of the input, a path inside the plugin.
    pub input: String,
    /// JSON Schema of the output, a path inside the plugin.
    pub output: String,
    /// How often one principal may call.
    pub rate: Option<Rate>,
    /// Limits of its invocations, lower than those of the plugin.
    #[serde(default)]
    pub limits: TriggerLimits,
}

/// How a function ended by what the plugin answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FunctionOutcome {
    /// It gave an output.
    Answered,
    /// It could not use the input.
    InvalidInput,
    /// It could not do what it should.
    Failed,
}
