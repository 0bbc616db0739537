//! `[shield]`: what the host refuses because of a fault in the engine.

use crate::components::shield::Shield;

/// What is refused because of a fault in the engine.
pub type ShieldSection = Shield;
