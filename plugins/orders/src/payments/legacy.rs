//! The route of earlier versions for the payment provider's signed events. The manifest's webhook
//! `payments` replaces it, and both work.
//!
//! Each event has the header `x-signature: t=<unix seconds>,v1=<hex>`, the HMAC-SHA-256 of
//! `<t>.<body>` with a secret that only the host knows. While the secret is rotated there are
//! several `v1` items, one per secret, and one valid item is enough. Other items are ignored. An
//! event may arrive twice, late, or out of order.

use mortise_sdk::prelude::*;
use mortise_sdk::time;
use serde::Serialize;

use super::Completion;
use super::events::{self, Applied, Change, Event};
use crate::{orders, products};

const SECRET: &str = "payment_webhook";
const SIGNATURE: &str = "x-signature";
/// The allowed difference between the provider's clock and ours, which is also how long a captured
/// request can be replayed.
const TOLERANCE_MS: u64 = 5 * 60 * 1000;

#[derive(Debug, Serialize)]
pub struct Received {
    outcome: Outcome,
    /// What a payment did.
    #[serde(skip_serializing_if = "Option::is_none")]
    completion: Option<Completion>,
}

/// The result of an event. All results are a 200, so that the provider does not send the event
/// again.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Applied,
    Duplicate,
    Ignored,
}

/// Handles an event. The signature covers the raw bytes, so the body is parsed only after the
/// check.
pub fn receive(headers: Headers, Text(body): Text) -> Result<Json<Received>, Error> {
    verify(headers.require(SIGNATURE)?, &body)?;
    let Json(event): Json<Event> = Json::parse(&body)?;
    let told = event
        .told()
        .map_err(|why| Error::bad_request(why).with_code("validation-failed"))?;
    let Some(told) = told else {
        return Ok(Json(Received {
            outcome: Outcome::Ignored,
            completion: None,
        }));
    };
    let applied = db::transaction(|transaction| {
        if let (Change::Succeeded, Some(id)) = (told.change, told.order_id) {
            // Money that moved for an order that does not exist is found by the reconciliation.
            orders::summary(transaction, id)?;
        }
        match events::apply(transaction, &told)? {
            Applied::Early => Err(Error::unavailable("the payment is not known yet").with_code("too-early")),
            applied => Ok(applied),
        }
    })?;
    products::forget_first_page();
    let (outcome, completion) = match applied {
        Applied::Completed(Completion::Duplicate) | Applied::Duplicate => (Outcome::Duplicate, None),
        Applied::Completed(completion) => (Outcome::Applied, Some(completion)),
        Applied::Done | Applied::Early => (Outcome::Applied, None),
    };
    Ok(Json(Received { outcome, completion }))
}

fn verify(header: &str, body: &str) -> Result<(), Error> {
    let Some(header) = Signature::parse(header) else {
        return Err(refused("the signature is not of the form t=<seconds>,v1=<hex>"));
    };
    let signed = format!("{}.{body}", header.timestamp);
    let mut is_valid = false;
    for signature in header.signatures {
        is_valid |= secrets::verify_hmac_sha256_hex(SECRET, signed.as_bytes(), signature)?;
    }
    if !is_valid {
        return Err(refused("the signature is wrong"));
    }
    let sent_at = header
        .timestamp
        .parse::<i64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000));
    match sent_at {
        Some(sent_at) if time::now().abs_diff(sent_at) <= TOLERANCE_MS => Ok(()),
        _ => Err(refused("the timestamp is too far from the present")),
    }
}

/// The most signatures that are checked: one per secret during a rotation.
const MAX_SIGNATURES: usize = 4;

/// The items of the header, in any order.
struct Signature<'a> {
    timestamp: &'a str,
    /// The `v1` items; at least one.
    signatures: Vec<&'a str>,
}

impl<'a> Signature<'a> {
    fn parse(header: &'a str) -> Option<Self> {
        let (mut timestamp, mut signatures) = (None, Vec::new());
        for item in header.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item.split_once('=')? {
                ("t", _) if timestamp.is_some() => return None,
                ("t", value) => timestamp = Some(value),
                ("v1", _) if signatures.len() == MAX_SIGNATURES => return None,
                ("v1", value) => signatures.push(value),
                _ => {}
            }
        }
        let timestamp = timestamp?;
        (!signatures.is_empty()).then_some(Self {
            timestamp,
            signatures,
        })
    }
}

fn refused(detail: &'static str) -> Error {
    Error::unauthorized(detail).with_code("invalid-signature")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mortise_sdk::testing::Host;
    use mortise_sdk::{Response, db, time};
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{host, order, product, send, sign, simple_event as event};

    fn send_signed(host: &Host, body: &str) -> Response {
        send(host, &sign(time::now() / 1000, body), body)
    }

    fn status(id: i64) -> String {
        db::query_one("SELECT status FROM orders WHERE id = $1", (id,)).expect("the order is there")
    }

    #[test]
    fn a_signed_payment_makes_the_order_paid() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let response = send_signed(&host, &event("e1", id, 4990));
        assert_eq!(
            (response.status(), response.json::<Value>()),
            (200, json!({"outcome": "applied", "completion": "confirmed"}))
        );
        assert_eq!(status(id), "paid");
    }

    #[test]
    fn the_same_event_takes_effect_once() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let body = event("e1", id, 4990);
        send_signed(&host, &body);
        let again = send_signed(&host, &body);
        assert_eq!(
            (again.status(), again.json::<Value>()),
            (200, json!({"outcome": "duplicate"}))
        );
        // Another event may tell of the same payment.
        let other = send_signed(&host, &event("e2", id, 4990));
        assert_eq!(other.json::<Value>(), json!({"outcome": "duplicate"}));
        let payments: i64 = db::query_one("SELECT count(*) FROM payments", ()).expect("the table is there");
        assert_eq!(payments, 1);
    }

    #[test]
    fn a_bad_signature_is_refused() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let body = event("e1", id, 4990);
        let good = sign(time::now() / 1000, &body);
        let tampered = body.replace("4990", "1");
        for (signature, body) in [
            (good.as_str(), tampered.as_str()),
            ("t=1,v1=00", &body),
            ("nonsense", &body),
        ] {
            let response = send(&host, signature, body);
            assert_eq!(
                (response.status(), &response.json::<Value>()["code"]),
                (401, &json!("invalid-signature"))
            );
        }
        let unsigned = host
            .request("POST", "/webhooks/payment")
            .header("content-type", "application/json")
            .body(body)
            .send(&APP);
        assert_eq!(unsigned.status(), 400);
        assert_eq!(status(id), "pending");
    }

    #[test]
    fn one_good_signature_of_several_is_enough() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let body = event("e1", id, 4990);
        let now = time::now() / 1000;
        let good = sign(now, &body);
        let good = good.split_once(',').expect("a timestamp and a signature").1;
        let old = format!("v1={}", "00".repeat(32));
        for (header, outcome) in [
            (format!("t={now},{old},{good}"), "applied"),
            (format!("t={now},{good},v0=abc"), "duplicate"),
            (format!("{good}, t={now},"), "duplicate"),
        ] {
            let response = send(&host, &header, &body);
            assert_eq!(response.json::<Value>()["outcome"], outcome, "{header}");
        }
        for header in [
            format!("t={now},{old}"),
            format!("t={now},v0=abc"),
            format!("t={now},t={now},{good}"),
            format!("t={now},{}{good}", format!("{old},").repeat(4)),
            good.to_owned(),
        ] {
            assert_eq!(send(&host, &header, &body).status(), 401, "{header}");
        }
    }

    #[test]
    fn an_amount_may_be_written_as_a_float() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let body = event("e1", id, 4990).replace("4990", "4990.0");
        assert_eq!(send_signed(&host, &body).json::<Value>()["outcome"], "applied");
    }

    #[test]
    fn a_signature_that_is_too_old_or_from_the_future_is_refused() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let body = event("e1", id, 4990);
        let now = time::now() / 1000;
        assert_eq!(send(&host, &sign(now + 301, &body), &body).status(), 401);
        let signature = sign(now, &body);
        host.advance(Duration::from_secs(301));
        assert_eq!(send(&host, &signature, &body).status(), 401);
        assert_eq!(status(id), "pending");
    }

    #[test]
    fn an_order_with_a_wrong_amount_waits_for_a_person() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let response = send_signed(&host, &event("e1", id, 1));
        assert_eq!(
            (response.status(), response.json::<Value>()),
            (200, json!({"outcome": "applied", "completion": "review"}))
        );
        let review: (String, String) =
            db::query_one("SELECT reason, detail FROM reviews", ()).expect("a review is open");
        assert_eq!(review.0, "amount-mismatch");
        assert!(
            review.1.contains("4990 cents are due, 1 were paid"),
            "{}",
            review.1
        );
        assert_eq!(status(id), "paid");
    }

    #[test]
    fn other_events_are_ignored_and_unknown_orders_absent() {
        let host = host();
        let other =
            json!({"id": "e1", "type": "payment.created", "order_id": 1, "amount_cents": 1}).to_string();
        assert_eq!(send_signed(&host, &other).json::<Value>()["outcome"], "ignored");
        assert_eq!(send_signed(&host, &event("e2", 99, 1)).status(), 404);
    }
}
