//! `[shield]`: features of WebAssembly that the host refuses because of a fault in the engine.

use crate::components::shield::Shield;

/// Features that are refused because of a fault in the engine.
pub type ShieldSection = Shield;
