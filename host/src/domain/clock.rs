//! Clocks and timestamps. The clock is passed in, so that tests advance the time instead of
//! waiting.

use std::borrow::Cow;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use serde::de::Error as _;
use serde::{Deserialize, Serialize};

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, format = DateTime)]
pub struct Timestamp(pub i64);

/// An hour.
pub const HOUR: Duration = Duration::from_secs(60 * 60);

/// A day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the current time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// The time since a fixed moment in the past. It never decreases, also if somebody sets the
    /// system's clock.
    fn monotonic(&self) -> Duration;
}

/// A shared clock.
pub type SharedClock = Arc<dyn Clock>;

/// The clock of the operating system.
#[derive(Debug, Default)]
pub struct SystemClock;

/// A clock that moves only when a test advances it.
#[derive(Debug)]
pub struct ManualClock {
    now: AtomicI64,
    monotonic_ms: AtomicU64,
}

/// The start of monotonic time: the first call of [`SystemClock::monotonic`].
static FIRST_ASKED: LazyLock<Instant> = LazyLock::new(instant);

impl Timestamp {
    /// This moment plus `duration`, or the last possible moment.
    pub fn saturating_add(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(milliseconds(duration)))
    }

    /// This moment moved back by `duration`, or the first moment there is.
    pub fn saturating_sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(milliseconds(duration)))
    }

    /// The beginning of the hour, the day, or the period of another length that this moment lies in
    /// (UTC).
    pub fn beginning_of(self, period: Duration) -> Timestamp {
        let period = milliseconds(period).max(1);
        Timestamp(self.0.div_euclid(period).saturating_mul(period))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => Ok(Timestamp(timestamp.as_millisecond())),
            Err(_) => Err(D::Error::custom(
                "it is no time; write it with a time zone, such as 2026-01-02T03:04:05Z",
            )),
        }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp(jiff::Timestamp::now().as_millisecond())
    }

    fn monotonic(&self) -> Duration {
        FIRST_ASKED.elapsed()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
fn instant() -> Instant {
    Instant::now()
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            now: AtomicI64::new(start.0),
            monotonic_ms: AtomicU64::new(0),
        }
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now
            .fetch_add(i64::try_from(by).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_ms.fetch_add(by, Ordering::SeqCst);
    }

    /// Sets the wall-clock time. The monotonic time stays as it is.
    pub fn set(&self, now: Timestamp) {
        self.now.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.monotonic_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_as_rfc_3339_and_read_back() {
        let timestamp = Timestamp(1_700_000_000_123);
        let json = serde_json::to_string(&timestamp).unwrap();
        assert_eq!(json, "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), timestamp);
    }

    #[test]
    fn a_timestamp_is_moved_and_rounded_down() {
        let timestamp = Timestamp(1_700_000_000_123);
        let hour_before = Timestamp(1_699_996_400_123);
        assert_eq!(timestamp.saturating_sub(HOUR), hour_before);
        assert_eq!(hour_before.saturating_add(HOUR), timestamp);
        assert_eq!(
            timestamp
                .saturating_sub(Duration::MAX)
                .saturating_sub(Duration::MAX),
            Timestamp(i64::MIN)
        );
        assert_eq!(
            timestamp.beginning_of(HOUR).to_string(),
            "2023-11-14T22:00:00.000Z"
        );
        assert_eq!(
            timestamp.beginning_of(DAY).to_string(),
            "2023-11-14T00:00:00.000Z"
        );
        assert_eq!(Timestamp(-1).beginning_of(HOUR), Timestamp(-3_600_000));
        assert_eq!(Timestamp(3_600_000).beginning_of(HOUR), Timestamp(3_600_000));
    }

    #[test]
    fn setting_the_clock_does_not_move_the_monotonic_one() {
        let clock = ManualClock::new(Timestamp(5_000));
        clock.advance(Duration::from_secs(1));
        clock.set(Timestamp(0));
        assert_eq!(clock.now(), Timestamp(0));
        assert_eq!(clock.monotonic(), Duration::from_secs(1));
        let system = SystemClock;
        let before = system.monotonic();
        assert!(system.monotonic() >= before);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(Timestamp(5));
        assert_eq!(clock.now(), Timestamp(5));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now().since(Timestamp(5)), Duration::from_secs(1));
        assert_eq!(Timestamp(5).since(clock.now()), Duration::ZERO);
    }
}
