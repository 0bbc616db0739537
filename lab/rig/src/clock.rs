//! Real time, for tests with real hosts.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// The interval at which a condition is checked.
const POLL: Duration = Duration::from_millis(10);

/// The default deadline, which is long enough for a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// The current time.
#[expect(
    clippy::disallowed_methods,
    reason = "the hosts are processes of their own, in real time"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The current time in seconds since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the hosts are processes of their own, in real time"
)]
pub fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

/// Sleeps.
pub fn pass(time: Duration) {
    std::thread::sleep(time);
}

/// Polls `ask` until it returns a value.
pub fn until<T>(what: &str, ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    within(DEADLINE, what, ask)
}

/// Polls `ask` until it returns a value, for at most `time`.
pub fn within<T>(time: Duration, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if begin.elapsed() > time {
            bail!("{what} did not happen within {time:?}");
        }
        pass(POLL);
    }
}

/// Formats a duration for people.
pub fn spoken(time: Duration) -> String {
    match time.as_micros() {
        0..10_000 => format!("{:.2} ms", time.as_secs_f64() * 1e3),
        10_000..1_000_000 => format!("{:.0} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_happen_is_named() {
        let error = within(Duration::from_millis(20), "the end", || Ok(None::<()>)).unwrap_err();
        assert_eq!(error.to_string(), "the end did not happen within 20ms");
        assert_eq!(within(Duration::ZERO, "it", || Ok(Some(1))).unwrap(), 1);
    }

    #[test]
    fn times_are_read_at_a_glance() {
        assert_eq!(spoken(Duration::from_micros(1_250)), "1.25 ms");
        assert_eq!(spoken(Duration::from_millis(125)), "125 ms");
        assert_eq!(spoken(Duration::from_millis(12_500)), "12.5 s");
    }
}
