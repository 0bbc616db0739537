//! The time of day. The host's clock is deliberately coarse, so that it cannot be used for timing
//! attacks.

use crate::host::{Backend, Host};

/// The time in milliseconds since 1970-01-01 UTC. With the feature `testing` it is the clock of the
/// test host.
///
/// ```
/// use std::time::Duration;
///
/// let host = mortise_sdk::testing::Host::start();
/// let before = mortise_sdk::time::now();
/// host.advance(Duration::from_secs(2));
/// assert_eq!(mortise_sdk::time::now() - before, 2_000);
/// ```
pub fn now() -> i64 {
    Host::now_ms()
}
