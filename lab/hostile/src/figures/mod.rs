//! The figures, one file for each kind. Each says what is measured and under which plans:
//!
//! - The good tenant's plan has no rate that could refuse what the figures ask of it; nothing else of it differs.
//! - Attackers are on the default plan, unless the figure says otherwise.
//! - The host has its defaults, but opens its loopback to plugins, so that there is a server to be stuck at, and leaves
//!   plugins that fail all the time running, so that the attack goes on.

mod canaries;
mod drain;
mod idle;
mod neighbours;
mod overload;
mod overshoot;

use crate::figure::Figure;

/// Every figure.
pub const FIGURES: [Figure; 11] = [
    neighbours::LOOPS,
    neighbours::MEMORY,
    neighbours::SQL,
    neighbours::EGRESS,
    neighbours::LOGS,
    neighbours::UPLOADS,
    overshoot::OVERSHOOT,
    canaries::CANARIES,
    idle::IDLE,
    overload::OVERLOAD,
    drain::DRAIN,
];
