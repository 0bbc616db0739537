//! Decides what becomes of a delivery after an attempt, by the answer of the endpoint.

use std::time::Duration;

use crate::capability::http_client::HostResponse;
use crate::domain::webhook_out::{DeliveryState, wait_after};

/// The status that asks not to be called any more.
const GONE: u16 = 410;

/// What an attempt means for its delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The state of the delivery.
    pub state: DeliveryState,
    /// How long it waits for the next attempt.
    pub wait: Option<Duration>,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether the endpoint asks not to be called any more.
    pub is_gone: bool,
}

impl Outcome {
    /// The outcome of an attempt: an answer, or why there was none. `attempt` is 1 for the first
    /// one since the delivery was added or replayed. `random` is between 0 and 1.
    pub fn of(answered: &Result<HostResponse, String>, attempt: u32, random: f64) -> Self {
        let (error, retry_after) = match answered {
            Ok(response) if (200..300).contains(&response.status) => {
                return Self {
                    state: DeliveryState::Delivered,
                    wait: None,
                    error: None,
                    is_gone: false,
                };
            }
            Ok(response) if response.status == GONE => {
                return Self {
                    state: DeliveryState::Failed,
                    wait: None,
                    error: Some("the endpoint answered 410: it wants no more deliveries".to_owned()),
                    is_gone: true,
                };
            }
            Ok(response) => (refusal(response.status), response.retry_after),
            Err(error) => (error.clone(), None),
        };
        let wait = wait_after(attempt, retry_after, random);
        Self {
            state: match wait {
                Some(_) => DeliveryState::Waiting,
                None => DeliveryState::Failed,
            },
            wait,
            error: Some(error),
            is_gone: false,
        }
    }
}

fn refusal(status: u16) -> String {
    match status {
        300..400 => {
            format!("the endpoint answered {status}; redirects are not followed, so enter the new URL")
        }
        _ => format!("the endpoint answered {status}; only 2xx means that it accepted the delivery"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::webhook_out::ATTEMPTS;

    fn answer(status: u16, retry_after: Option<u64>) -> Result<HostResponse, String> {
        Ok(HostResponse {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: Vec::new(),
        })
    }

    #[test]
    fn only_2xx_is_a_success() {
        for (status, state) in [
            (200, DeliveryState::Delivered),
            (204, DeliveryState::Delivered),
            (299, DeliveryState::Delivered),
            (301, DeliveryState::Waiting),
            (400, DeliveryState::Waiting),
            (404, DeliveryState::Waiting),
            (410, DeliveryState::Failed),
            (429, DeliveryState::Waiting),
            (500, DeliveryState::Waiting),
        ] {
            let outcome = Outcome::of(&answer(status, None), 1, 0.0);
            assert_eq!(outcome.state, state, "{status}");
            assert_eq!(outcome.is_gone, status == GONE);
            assert_eq!(outcome.error.is_none(), state == DeliveryState::Delivered);
        }
    }

    #[test]
    fn a_failure_waits_by_the_schedule_until_the_last_attempt() {
        let failed = Err("no connection".to_owned());
        assert_eq!(Outcome::of(&failed, 1, 0.0).wait, Some(Duration::from_secs(5)));
        let last = Outcome::of(&failed, ATTEMPTS, 0.0);
        assert_eq!((last.state, last.wait), (DeliveryState::Failed, None));
        assert_eq!(last.error.as_deref(), Some("no connection"));
    }

    #[test]
    fn a_busy_endpoint_may_ask_for_a_longer_wait() {
        let wait = Outcome::of(&answer(503, Some(8)), 1, 0.0).wait;
        assert_eq!(wait, Some(Duration::from_secs(8)));
    }
}
