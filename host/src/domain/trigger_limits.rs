//! Limits of a single entry of a manifest, such as one function.

use serde::{Deserialize, Serialize};

use super::limits::LimitOverrides;
use super::units::{ByteSize, Span};

/// Limits of the invocations of one manifest entry, lower than those of the plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerLimits {
    /// CPU time.
    pub cpu: Option<Span>,
    /// Wall-clock time.
    pub wall: Option<Span>,
    /// Linear memories and tables of the instance together.
    pub memory: Option<ByteSize>,
}

impl TriggerLimits {
    /// The limits as overrides of the plugin's limits.
    pub fn overrides(&self) -> LimitOverrides {
        LimitOverrides {
            cpu: self.cpu,
            wall: self.wall,
            memory: self.memory,
            ..LimitOverrides::default()
        }
    }
}
