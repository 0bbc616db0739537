//! The time of day. The host's clock is coarse on purpose: it does not resolve what a millisecond hides.

use crate::host::{Backend, Host};

/// Milliseconds since 1970-01-01 UTC. With the feature `testing` it is the stand-in's own clock.
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
