//! `[breaker]`: when the circuit breaker of a route opens, and for how long.

use serde::{Deserialize, Serialize};

use crate::domain::circuit::CircuitSettings;
use crate::domain::units::Span;

/// When the circuit breaker of a plugin's route opens, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSection {
    /// Failures in a row after which the route answers 503. 0: never.
    pub failures: u32,
    /// How long the route answers 503 until one request is let through. Each failed one doubles the
    /// time.
    pub first_wait: Span,
    /// The longest time until the next request is let through.
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
    /// The section as settings of circuits.
    pub fn settings(&self) -> CircuitSettings {
        CircuitSettings {
            failures: self.failures,
            first_wait: self.first_wait.0,
            longest_wait: self.longest_wait.0,
        }
    }
}
