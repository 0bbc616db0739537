//! The measurements of attacks, one file for each kind. They are taken under these conditions:
//!
//! - The good tenant's plan has no effective rate limit. The rest of its plan is the default.
//! - Attackers are on the default plan, unless the figure says otherwise.
//! - The host has its defaults, with two exceptions: plugins may reach loopback, so that a stuck
//!   server can be used, and the circuit breaker does not stop failing plugins, so that the attack
//!   continues.

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
