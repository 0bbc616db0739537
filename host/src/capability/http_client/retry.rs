//! The retry policy: which requests are sent again, and after which wait.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Method, StatusCode};

use super::super::bindings::http_client::Retry;
use super::error::{Phase, SendError};
use super::response::Received;
use crate::domain::clock::Timestamp;

/// Most attempts of a request. More would only increase the load on a failing server.
const MOST_ATTEMPTS: u32 = 5;
const SHORTEST_BACKOFF: Duration = Duration::from_millis(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The longest `Retry-After` that is used; no request lasts this long.
const LONGEST_ASKED: Duration = Duration::from_secs(24 * 60 * 60);

/// The retries that the guest asks for, clamped to the host's limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    attempts: u32,
    initial_backoff: Duration,
}

impl From<Option<Retry>> for RetryPolicy {
    fn from(retry: Option<Retry>) -> Self {
        let (attempts, backoff) =
            retry.map_or((1, 0), |retry| (retry.max_attempts, retry.initial_backoff_ms));
        Self {
            attempts: attempts.clamp(1, MOST_ATTEMPTS),
            initial_backoff: Duration::from_millis(backoff.into()).clamp(SHORTEST_BACKOFF, LONGEST_BACKOFF),
        }
    }
}

impl RetryPolicy {
    /// Returns the wait before the next attempt, or `None` if `outcome` is final. `attempt` counts
    /// from 1; `random` is any number and determines the jitter.
    pub fn wait_after(
        self,
        attempt: u32,
        method: &Method,
        outcome: &Result<Received, SendError>,
        now: Timestamp,
        random: u64,
    ) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let asked = match outcome {
            Err(SendError::Dns(_) | SendError::Connect { .. }) => Duration::ZERO,
            Err(SendError::Timeout {
                phase: Phase::Connect,
                ..
            }) => Duration::ZERO,
            Err(SendError::Timeout {
                phase: Phase::Response,
                ..
            }) if is_idempotent(method) => Duration::ZERO,
            Ok(response) if is_idempotent(method) && is_transient(response.status) => {
                retry_after(&response.headers, now).unwrap_or_default()
            }
            _ => return None,
        };
        Some(self.backoff(attempt, random).max(asked))
    }

    /// The backoff doubles with each attempt. Its upper half is random, so that clients that failed
    /// together do not retry together.
    fn backoff(self, attempt: u32, random: u64) -> Duration {
        let full = self
            .initial_backoff
            .saturating_mul(1 << (attempt - 1).min(MOST_ATTEMPTS))
            .min(LONGEST_BACKOFF);
        let half = full / 2;
        let share = u32::try_from(random % 1_000).unwrap_or(0);
        half + half * share / 1_000
    }
}

/// Whether the method is idempotent.
pub fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::DELETE | Method::OPTIONS
    )
}

fn is_transient(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The wait that the server asks for, at most [`LONGEST_ASKED`].
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    Some(asked_wait(headers, now)?.min(LONGEST_ASKED))
}

/// The wait that the server asks for.
pub fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that does not fit into `u64` is larger than the maximum.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?;
    Some(Timestamp(date.timestamp().as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_attempts: u32, initial_backoff_ms: u32) -> RetryPolicy {
        RetryPolicy::from(Some(Retry {
            max_attempts,
            initial_backoff_ms,
        }))
    }

    fn status(status: u16, retry_after: Option<&str>) -> Result<Received, SendError> {
        let mut headers = HeaderMap::new();
        if let Some(value) = retry_after {
            headers.insert(RETRY_AFTER, value.parse().unwrap());
        }
        Ok(Received {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Vec::new(),
        })
    }

    fn timeout(phase: Phase) -> Result<Received, SendError> {
        Err(SendError::Timeout {
            phase,
            after: Duration::ZERO,
        })
    }

    fn is_repeated(method: &Method, outcome: &Result<Received, SendError>) -> bool {
        policy(2, 100)
            .wait_after(1, method, outcome, Timestamp(0), 0)
            .is_some()
    }

    #[test]
    fn what_is_repeated_depends_on_the_outcome_and_the_method() {
        let connect = || SendError::Connect {
            origin: String::new(),
            reason: std::io::ErrorKind::ConnectionRefused,
        };
        for (outcome, idempotent, other) in [
            (Err(connect()), true, true),
            (Err(SendError::Dns(String::new())), true, true),
            (timeout(Phase::Connect), true, true),
            (timeout(Phase::Response), true, false),
            (timeout(Phase::Whole), false, false),
            (status(429, None), true, false),
            (status(502, None), true, false),
            (status(503, None), true, false),
            (status(504, None), true, false),
            (status(500, None), false, false),
            (status(200, None), false, false),
            (status(302, None), false, false),
            (Err(SendError::TooLarge), false, false),
            (Err(SendError::CircuitOpen), false, false),
            (Err(SendError::Denied(String::new())), false, false),
            (Err(SendError::Protocol(String::new())), false, false),
        ] {
            for method in [
                Method::GET,
                Method::HEAD,
                Method::PUT,
                Method::DELETE,
                Method::OPTIONS,
            ] {
                assert_eq!(is_repeated(&method, &outcome), idempotent, "{method} {outcome:?}");
            }
            for method in [Method::POST, Method::PATCH] {
                assert_eq!(is_repeated(&method, &outcome), other, "{method} {outcome:?}");
            }
        }
    }

    #[test]
    fn wishes_of_the_guest_are_clamped() {
        assert_eq!(policy(u32::MAX, u32::MAX).attempts, MOST_ATTEMPTS);
        assert_eq!(policy(u32::MAX, u32::MAX).initial_backoff, LONGEST_BACKOFF);
        assert_eq!(policy(0, 0).attempts, 1);
        assert_eq!(policy(0, 0).initial_backoff, SHORTEST_BACKOFF);
        assert_eq!(RetryPolicy::from(None).attempts, 1);
    }

    #[test]
    fn the_last_attempt_is_final() {
        let wait =
            |attempt| policy(3, 100).wait_after(attempt, &Method::GET, &status(503, None), Timestamp(0), 0);
        assert!(wait(2).is_some());
        assert_eq!(wait(3), None);
    }

    #[test]
    fn the_wait_doubles_and_varies_by_half() {
        let wait = |attempt, random| policy(5, 100).backoff(attempt, random).as_millis();
        assert_eq!([wait(1, 0), wait(2, 0), wait(3, 0)], [50, 100, 200]);
        assert_eq!([wait(1, 999), wait(2, 1_999)], [99, 199]);
        assert_eq!(
            policy(5, u32::MAX).backoff(4, 999),
            LONGEST_BACKOFF / 2 + LONGEST_BACKOFF / 2 * 999 / 1_000
        );
    }

    #[test]
    fn the_server_can_ask_for_a_longer_wait() {
        let wait =
            |text| policy(2, 100).wait_after(1, &Method::GET, &status(429, Some(text)), Timestamp(0), 0);
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0"), Some(Duration::from_millis(50)));
        assert_eq!(
            wait("Thu, 01 Jan 1970 00:00:09 GMT"),
            Some(Duration::from_secs(9))
        );
        assert_eq!(wait("soon"), Some(Duration::from_millis(50)));
        assert_eq!(wait("-1"), Some(Duration::from_millis(50)));
    }

    #[test]
    fn extreme_waits_are_clamped() {
        for (text, wanted) in [
            ("18446744073709551615", LONGEST_ASKED),
            ("18446744073709551616", LONGEST_ASKED),
            ("99999999999999999999999999999999999999999", LONGEST_ASKED),
            ("9223372036854775807", LONGEST_ASKED),
            ("86401", LONGEST_ASKED),
            ("86399", Duration::from_secs(86_399)),
            ("Thu, 30 Dec 9999 00:00:00 GMT", LONGEST_ASKED),
            // This date is outside the range of timestamps, so it is ignored.
            ("Fri, 31 Dec 9999 23:59:59 GMT", Duration::from_millis(50)),
            ("Mon, 01 Jan 0001 00:00:00 GMT", Duration::from_millis(50)),
            ("-18446744073709551616", Duration::from_millis(50)),
            ("1e308", Duration::from_millis(50)),
            ("", Duration::from_millis(50)),
        ] {
            for now in [Timestamp(0), Timestamp(i64::MIN), Timestamp(i64::MAX)] {
                let outcome = status(503, Some(text));
                let wait = policy(2, 100)
                    .wait_after(1, &Method::GET, &outcome, now, 0)
                    .unwrap();
                assert!(wait <= LONGEST_ASKED, "{text}: {wait:?}");
                if now == Timestamp(0) {
                    assert_eq!(wait, wanted, "{text}");
                }
            }
        }
    }
}
