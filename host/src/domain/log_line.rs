//! A line that a plugin wrote to its log.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{InvocationId, PluginName, TenantId};

/// How serious a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Steps of interest to the author only.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What happened.
    Info,
    /// What may be wrong.
    Warn,
    /// What went wrong.
    Error,
}

/// One line of a plugin's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which plugin wrote it.
    pub plugin: PluginName,
    /// During which invocation.
    pub invocation: InvocationId,
    /// When.
    pub at: Timestamp,
    /// How serious it is.
    pub level: Level,
    /// The text, without control characters.
    pub message: String,
    /// Further values by name.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// Bytes of its text.
    pub fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len());
        self.message.len() + fields.sum::<usize>()
    }
}

impl Level {
    /// All levels, the least serious first.
    pub const ALL: [Level; 5] = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error];

    /// The level in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }
}
