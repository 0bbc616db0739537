//! The payment provider's API.
//!
//! The setting `payments_url` is its base URL, such as `https://payments.example.com/v1`; the
//! origin must be granted. If the tenant has set the secret `payment_key`, requests carry it as a
//! bearer token. Without the setting the provider's signed events are believed as they are.

use std::fmt;
use std::time::Duration;

use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::secret;

const URL: &str = "payments_url";
const KEY: &str = "payment_key";
const TIMEOUT: Duration = Duration::from_secs(3);

/// The payments on one page of the provider's list.
pub const PAGE: u32 = 100;

/// A payment as the provider has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Payment {
    pub id: String,
    pub status: PaymentStatus,
    pub order_id: Option<i64>,
    pub amount_cents: i64,
    /// What was refunded altogether.
    #[serde(default)]
    pub refunded_cents: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    Succeeded,
    Authorized,
    RequiresAction,
    Failed,
    Canceled,
    #[serde(other)]
    Other,
}

/// A page of payments.
#[derive(Debug, Deserialize)]
pub struct Payments {
    pub data: Vec<Payment>,
    /// The cursor of the next page.
    pub next: Option<String>,
}

/// Why the provider gave no answer that can be used.
#[derive(Debug)]
pub enum ProviderError {
    /// The setting `payments_url` is missing.
    NotSet,
    /// The provider does not know the payment.
    Unknown,
    /// The provider rejects the request, and would reject it again.
    Rejected(u16),
    /// The request may succeed later.
    Failed(String),
}

#[derive(Serialize)]
struct NewRefund<'a> {
    payment_intent: &'a str,
    amount_cents: i64,
    reason: &'a str,
}

#[derive(Deserialize)]
struct Refund {
    id: String,
}

/// Whether the shop has set the provider's URL.
pub fn is_set() -> bool {
    config::get(URL).is_some()
}

/// Reads a payment.
pub fn payment(intent: &str) -> Result<Payment, ProviderError> {
    // The id is part of the URL, and an event or a browser brought it.
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if intent.is_empty() || !intent.bytes().all(is_id) {
        return Err(ProviderError::Unknown);
    }
    let request = http::get(format!("{}/payments/{intent}", base()?));
    let payment: Payment = read(&send(request)?)?;
    if payment.id != intent {
        return Err(ProviderError::Failed(format!(
            "the provider was asked for `{intent}` and answered with another payment"
        )));
    }
    Ok(payment)
}

/// Reads a page of the payments that were created in a span of time, in milliseconds since 1970.
pub fn payments(from_ms: i64, to_ms: i64, after: Option<&str>) -> Result<Payments, ProviderError> {
    let (from, to) = ((from_ms / 1_000).to_string(), (to_ms / 1_000).to_string());
    let limit = PAGE.to_string();
    let mut query = vec![
        ("created_from", from.as_str()),
        ("created_to", to.as_str()),
        ("limit", limit.as_str()),
    ];
    query.extend(after.map(|after| ("after", after)));
    read(&send(http::get(format!("{}/payments", base()?)).query(&query))?)
}

/// Refunds a part of a payment, and returns the provider's id of the refund. The key makes the
/// provider refund once, however often it is asked.
pub fn refund(key: &str, intent: &str, amount_cents: i64, reason: &str) -> Result<String, ProviderError> {
    let request = http::post(format!("{}/refunds", base()?))
        .header("idempotency-key", key)
        .json(&NewRefund {
            payment_intent: intent,
            amount_cents,
            reason,
        });
    let refund: Refund = read(&send(request)?)?;
    Ok(refund.id)
}

fn base() -> Result<String, ProviderError> {
    let url = config::get(URL).ok_or(ProviderError::NotSet)?;
    Ok(url.trim_end_matches('/').to_owned())
}

fn send(request: http::RequestBuilder) -> Result<http::Response, ProviderError> {
    let has_key = secret::is_set(KEY).map_err(|error| ProviderError::Failed(error.to_string()))?;
    let request = match has_key {
        true => request.secret_header("authorization", "Bearer ", KEY),
        false => request,
    };
    let response = request
        .timeout(TIMEOUT)
        .send()
        .map_err(|error| ProviderError::Failed(error.to_string()))?;
    match response.status() {
        200..=299 => Ok(response),
        404 => Err(ProviderError::Unknown),
        // Those may succeed later: a time-out, a conflict with a concurrent request, too many.
        status @ (400..=407 | 410..=424 | 426..=428 | 430..=499) => Err(ProviderError::Rejected(status)),
        status => Err(ProviderError::Failed(format!(
            "the payment provider answered {status}"
        ))),
    }
}

fn read<T: serde::de::DeserializeOwned>(response: &http::Response) -> Result<T, ProviderError> {
    response
        .json()
        .map_err(|error| ProviderError::Failed(error.to_string()))
}

impl fmt::Display for ProviderError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet => formatter.write_str(
                "the setting `payments_url` is missing; set it, and retry the job as a dead letter",
            ),
            Self::Unknown => formatter.write_str("the payment provider does not know the payment"),
            Self::Rejected(status) => write!(formatter, "the payment provider answered {status}"),
            Self::Failed(why) => formatter.write_str(why),
        }
    }
}

impl std::error::Error for ProviderError {}
