//! The job of the manifest's webhook `payments`. The host has verified the signature, stored the
//! event and answered the provider before it runs.

use mortise_sdk::log;
use mortise_sdk::prelude::*;

use super::events::{self, Applied, Change, Event};
use super::provider;
use crate::payments::Source;
use crate::products;

/// The job: applies an event. If the payment provider can be asked, its answer counts instead of
/// the event, which may be old.
pub fn on_event(event: Event) -> Result<(), JobError> {
    let Some(told) = event.told().map_err(JobError::discard)? else {
        return Ok(());
    };
    let asked = match &told.named_intent {
        Some(intent) if provider::is_set() && told.change != Change::Disputed => {
            Some(provider::payment(intent)?)
        }
        _ => None,
    };
    db::transaction(|transaction| {
        match &asked {
            Some(payment) => {
                super::apply(transaction, payment, Source::Webhook)?;
            }
            None => {
                let applied = events::apply(transaction, &told)?;
                if applied == Applied::Early {
                    return Err(JobError::retry(format!(
                        "the payment `{}` is not known yet",
                        told.intent()
                    )));
                }
            }
        }
        transaction.complete()?;
        Ok(())
    })?;
    products::forget_first_page();
    log::info(
        "Payment event handled",
        &[("event_id", &told.event), ("type", &told.kind)],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mortise_sdk::db;
    use mortise_sdk::testing::{Host, Outcome};
    use serde_json::{Value, json};

    use crate::JOBS;
    use crate::testing::{check_invariants, host, order, product, show};

    fn succeeded(id: &str, intent: &str, order: i64, cents: i64) -> Value {
        json!({
            "id": id, "type": "payment_intent.succeeded", "data": { "object": {
                "id": intent, "amount_received": cents, "metadata": { "order_id": order.to_string() },
            } },
        })
    }

    fn refunded(id: &str, intent: &str, cents: i64) -> Value {
        json!({
            "id": id, "type": "charge.refunded",
            "data": { "object": { "id": "ch_1", "payment_intent": intent, "amount_refunded": cents } },
        })
    }

    /// Delivers an event, and returns the outcomes of its jobs.
    fn tell(host: &Host, event: &Value) -> Vec<Outcome> {
        let response = host.webhook("payments").json(event).send();
        assert_eq!(response.status(), 200, "{}", response.text());
        run(host)
    }

    fn run(host: &Host) -> Vec<Outcome> {
        let attempts = host.run_jobs(&JOBS).into_iter();
        attempts
            .filter(|attempt| attempt.name == "on-payment-event")
            .map(|attempt| attempt.outcome)
            .collect()
    }

    #[test]
    fn a_signed_event_confirms_the_order_by_a_job() {
        let host = host();
        let chair = product("CHAIR", 4990, 1);
        let id = order(&host, chair, 1);
        assert_eq!(tell(&host, &succeeded("e1", "pi_1", id, 4990)), [Outcome::Done]);
        assert_eq!(show(id)["state"], "confirmed");
        // Another event about the same payment changes nothing.
        assert_eq!(tell(&host, &succeeded("e2", "pi_1", id, 4990)), [Outcome::Done]);
        let payments: i64 = db::query_one("SELECT count(*) FROM payments", ()).expect("the table is there");
        assert_eq!(payments, 1);
        check_invariants(&[(chair, 1)]);
    }

    #[test]
    fn a_refund_that_overtakes_its_payment_waits_for_it() {
        let host = host();
        let chair = product("CHAIR", 4990, 1);
        let id = order(&host, chair, 1);
        assert_eq!(tell(&host, &refunded("e2", "pi_1", 1000)), [Outcome::Retry]);
        assert_eq!(tell(&host, &succeeded("e1", "pi_1", id, 4990)), [Outcome::Done]);
        host.advance(Duration::from_secs(10));
        assert_eq!(run(&host), [Outcome::Done]);
        assert_eq!(show(id)["payment_state"], "partially_refunded");
        // What was refunded altogether is told again and again, and counts once.
        tell(&host, &refunded("e3", "pi_1", 1000));
        tell(&host, &refunded("e4", "pi_1", 4990));
        assert_eq!(show(id)["payment_state"], "refunded");
        let refunds: Vec<i64> =
            db::query_as("SELECT amount_cents FROM refunds ORDER BY id", ()).expect("the table is there");
        assert_eq!(refunds, [1000, 3990]);
        check_invariants(&[(chair, 1)]);
    }

    #[test]
    fn a_failure_that_comes_late_changes_nothing() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        let failed = |event: &str| {
            json!({
                "id": event, "type": "payment.failed", "order_id": id, "amount_cents": 4990,
                "payment_intent": "pi_1",
            })
        };
        tell(&host, &failed("e1"));
        assert_eq!(show(id)["payment_state"], "failed");
        tell(&host, &succeeded("e2", "pi_1", id, 4990));
        tell(&host, &failed("e3"));
        assert_eq!(show(id)["payment_state"], "captured");
    }

    #[test]
    fn a_payment_of_an_order_that_does_not_exist_waits_for_a_person() {
        let host = host();
        assert_eq!(tell(&host, &succeeded("e1", "pi_1", 99, 4990)), [Outcome::Done]);
        let reason: String = db::query_one("SELECT reason FROM reviews", ()).expect("a review is open");
        assert_eq!(reason, "unknown-order");
        check_invariants(&[]);
    }

    #[test]
    fn a_dispute_is_shown_to_a_person() {
        let host = host();
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        tell(&host, &succeeded("e1", "pi_1", id, 4990));
        let dispute = json!({
            "id": "e2", "type": "charge.dispute.created",
            "data": { "object": { "id": "dp_1", "payment_intent": "pi_1" } },
        });
        assert_eq!(tell(&host, &dispute), [Outcome::Done]);
        assert_eq!(show(id)["payment_state"], "disputed");
    }
}
