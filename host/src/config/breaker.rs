//! `[breaker]`: when the circuit breaker of a route opens, and for how long.

use serde::{Deserialize, Serialize};

use crate::domain::circuit::CircuitSettings;
use crate::domain::units::Span;

/// When the route of a plugin that fails all the time is left alone, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSection {
    /// Failures of a route one after the other after which it answers 503. 0: never.
    pub failures: u32,
    /// How long it does so until one request is let through. Each of those that fails doubles this.
    pub first_wait: Span,
    /// The longest that it does so.
    pub longest_wait: Span,
}

impl Default for BreakerSection {
    fn default() -> Self {
        Self {
            failures: 20,
            first_wait: Span::s(1),
            longest_wait: Span::s(60),
        }
    }
}

impl BreakerSection {
    /// As circuits take it.
    pub fn settings(&self) -> CircuitSettings {
        CircuitSettings {
            failures: self.failures,
            first_wait: self.first_wait.0,
            longest_wait: self.longest_wait.0,
        }
    }
}
