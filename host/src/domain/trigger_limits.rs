//! Limits of what one entry of a manifest triggers, such as one function.

use serde::{Deserialize, Serialize};

use super::limits::LimitOverrides;
use super::units::{ByteSize, Span};

/// Limits of the invocations of one entry of a manifest, lower than those of the whole plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerLimits {
    /// Busy time.
    pub cpu: Option<Span>,
    /// Wall-clock time.
    pub wall: Option<Span>,
    /// Memories and tables of the instance together.
    pub memory: Option<ByteSize>,
}

impl TriggerLimits {
    /// The same as changes to the limits of a plugin.
    pub fn overrides(&self) -> LimitOverrides {
        LimitOverrides {
            cpu: self.cpu,
            wall: self.wall,
            memory: self.memory,
            ..LimitOverrides::default()
        }
    }
}
