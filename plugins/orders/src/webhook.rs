//! The payment provider's events.
//!
//! Each carries `x-signature: t=<unix seconds>,v1=<hex>`: HMAC-SHA-256 of `<t>.<body>` under a secret that only the
//! host knows. While the secret is replaced there are several `v1`, of which one has to fit. An event may arrive twice,
//! late, or out of order.

use std::fmt::Display;

use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::status::{self, OrderStatus};

const SECRET: &str = "payment_webhook";
const SIGNATURE: &str = "x-signature";
/// Signatures that are looked at in one header.
const MAX_SIGNATURES: usize = 5;
/// How far the provider's clock may be from ours, and how long a captured request can be sent again.
const TOLERANCE_MS: u64 = 5 * 60 * 1000;

#[derive(Deserialize)]
struct PaymentEvent {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    order_id: i64,
    amount_cents: i64,
}

#[derive(Debug, Serialize)]
pub struct Received {
    outcome: Outcome,
}

/// All of these are 200, so that the provider does not send the event again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Applied,
    Duplicate,
    Ignored,
}

/// The signature is over the bytes as they came, so the body is parsed only after it was verified.
pub fn receive(headers: Headers, Text(body): Text) -> Result<Json<Received>, Error> {
    verify(headers.require(SIGNATURE)?, &body)?;
    let Json(event): Json<PaymentEvent> = Json::parse(&body)?;
    let outcome = match event.kind.as_str() {
        "payment.succeeded" => apply(&event)?,
        _ => Outcome::Ignored,
    };
    Ok(Json(Received { outcome }))
}

fn verify(header: &str, body: &str) -> Result<(), Error> {
    let Some((timestamp, signatures)) = parse_signature(header) else {
        return Err(refused("the signature is not of the form t=<seconds>,v1=<hex>"));
    };
    let signed = format!("{timestamp}.{body}");
    let mut fits = false;
    for signature in signatures {
        fits |= secrets::verify_hmac_sha256_hex(SECRET, signed.as_bytes(), signature)?;
    }
    if !fits {
        return Err(refused("the signature is wrong"));
    }
    let sent_at = timestamp
        .parse::<i64>()
        .ok()
        .and_then(|seconds| seconds.checked_mul(1000));
    match sent_at {
        Some(sent_at) if time::now().abs_diff(sent_at) <= TOLERANCE_MS => Ok(()),
        _ => Err(refused("the timestamp is too far from the present")),
    }
}

/// The time and the signatures of the scheme `v1`, in any order and beside other schemes.
fn parse_signature(header: &str) -> Option<(&str, Vec<&str>)> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let of = |wanted: &'static str| parts().filter(move |(name, _)| *name == wanted);
    let (_, timestamp) = of("t").next()?;
    // Whoever sends the header chooses how many there are, and each costs an HMAC.
    let signatures: Vec<_> = of("v1")
        .map(|(_, signature)| signature)
        .take(MAX_SIGNATURES)
        .collect();
    (!signatures.is_empty()).then_some((timestamp, signatures))
}

fn refused(detail: &'static str) -> Error {
    Error::unauthorized(detail).with_code("invalid-signature")
}

/// The event's id is stored in the transaction that applies it: it takes effect once, or not at all.
fn apply(event: &PaymentEvent) -> Result<Outcome, Error> {
    let transaction = db::begin()?;
    let total: Option<i64> =
        transaction.query_optional("SELECT total_cents FROM orders WHERE id = $1", (event.order_id,))?;
    let total = total.ok_or_else(|| crate::orders::unknown_order(event.order_id))?;
    let stored = transaction.execute(
        "INSERT INTO payment_events (id, order_id, kind, received_at) VALUES ($1, $2, $3, $4)",
        (&event.id, event.order_id, &event.kind, time::now()),
    );
    if stored.as_ref().is_err_and(db::Error::is_unique_violation) {
        return Ok(Outcome::Duplicate);
    }
    stored?;
    if total != event.amount_cents {
        return Err(
            Error::unprocessable(format!("{total} cents are due, {} were paid", event.amount_cents))
                .with_code("amount-mismatch"),
        );
    }
    status::move_to(&transaction, event.order_id, OrderStatus::Paid).inspect_err(|error| {
        // Somebody has paid for an order that is cancelled, or paid twice: a person has to look at it.
        let fields: [(&str, &dyn Display); 3] = [
            ("order_id", &event.order_id),
            ("event_id", &event.id),
            ("reason", error),
        ];
        log::error("A payment arrived for an order that cannot take it", &fields);
    })?;
    transaction.commit()?;
    log::info(
        "Payment received",
        &[("order_id", &event.order_id), ("event_id", &event.id)],
    );
    Ok(Outcome::Applied)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mortise_sdk::log::Level;
    use mortise_sdk::testing::Host;
    use mortise_sdk::{Response, db, secrets, time};
    use serde_json::{Value, json};

    use super::SECRET;
    use crate::APP;
    use crate::testing::{host, order, product};

    fn event(id: &str, order: i64, cents: i64) -> String {
        json!({"id": id, "type": "payment.succeeded", "order_id": order, "amount_cents": cents}).to_string()
    }

    fn sign(timestamp: i64, body: &str) -> String {
        let signature = secrets::hmac_sha256(SECRET, format!("{timestamp}.{body}").as_bytes());
        let signature = signature.expect("the test host has the secret");
        let hex: String = signature.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={timestamp},v1={hex}")
    }

    fn send(host: &Host, signature: &str, body: &str) -> Response {
        host.request("POST", "/webhooks/payment")
            .header("X-Signature", signature)
            .header("content-type", "application/json")
            .body(body)
            .send(&APP)
    }

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
            (200, json!({"outcome": "applied"}))
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
        assert_eq!(
            send_signed(&host, &event("e2", id, 4990)).json::<Value>()["code"],
            "illegal-transition"
        );
        let complaint = "A payment arrived for an order that cannot take it";
        assert!(
            host.logs()
                .iter()
                .any(|line| line.level == Level::Error && line.message == complaint)
        );
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
        let unsigned = host.request("POST", "/webhooks/payment");
        let unsigned = unsigned
            .header("content-type", "application/json")
            .body(body)
            .send(&APP);
        assert_eq!(unsigned.status(), 400);
        assert_eq!(status(id), "pending");
    }

    #[test]
    fn one_of_several_signatures_has_to_fit() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let body = event("e1", id, 4990);
        let now = time::now() / 1000;
        let good = sign(now, &body);
        let (_, fitting) = good.split_once(',').expect("it has two parts");
        for bad in [
            format!("t={now},v1=00,v1=01"),
            format!("v1=00,{fitting}"),
            format!("t={now},v0={}", &fitting[3..]),
            format!("t={now},{}{fitting}", "v1=00,".repeat(5)),
        ] {
            assert_eq!(send(&host, &bad, &body).status(), 401, "{bad}");
        }
        let rolled = send(&host, &format!("t={now},v1=00,{fitting},v0=ff,"), &body);
        assert_eq!(rolled.json::<Value>()["outcome"], "applied");
        let turned = send(&host, &format!("{fitting}, t={now}"), &body);
        assert_eq!(turned.json::<Value>()["outcome"], "duplicate");
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
    fn a_wrong_amount_leaves_no_trace() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let response = send_signed(&host, &event("e1", id, 1));
        assert_eq!(
            (response.status(), &response.json::<Value>()["code"]),
            (422, &json!("amount-mismatch"))
        );
        assert_eq!(
            send_signed(&host, &event("e1", id, 4990)).json::<Value>()["outcome"],
            "applied"
        );
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
