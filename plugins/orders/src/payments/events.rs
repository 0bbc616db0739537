//! The payment provider's events, in the simple form of earlier versions and in that of Stripe.
//!
//! An event may arrive twice, late, or out of order, and two events may tell of one change. So an
//! event takes effect once by its own id, and a payment once by the id of its intent.

use std::collections::BTreeMap;

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::time;
use serde::Deserialize;

use super::{Completion, Paid, Source, complete, intent_of_order, note_disputed, note_unpaid, refunds};
use crate::states::PaymentState;

/// An event as the provider sends it.
#[derive(Debug, Deserialize)]
pub struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    order_id: Option<i64>,
    amount_cents: Option<i64>,
    payment_intent: Option<String>,
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    object: Object,
}

/// A payment intent, a charge or a dispute.
#[derive(Debug, Default, Deserialize)]
struct Object {
    id: Option<String>,
    payment_intent: Option<String>,
    amount_received: Option<i64>,
    amount_refunded: Option<i64>,
    metadata: Option<BTreeMap<String, String>>,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Succeeded,
    /// The payment has not succeeded yet, and this is its state.
    Unpaid(PaymentState),
    /// The amount is what was refunded altogether.
    Refunded,
    Disputed,
}

/// What an event tells.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    pub event: String,
    pub kind: String,
    pub change: Change,
    /// The provider's id of the payment intent; `None` if the event names none.
    pub named_intent: Option<String>,
    pub order_id: Option<i64>,
    pub amount_cents: i64,
}

/// The result of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    Done,
    Completed(Completion),
    /// The event took effect before.
    Duplicate,
    /// It is about a payment that is not known yet.
    Early,
}

impl Event {
    /// Reads what the event tells. `Ok(None)` is an event that the shop does not need.
    pub fn told(self) -> Result<Option<Told>, String> {
        let Some(change) = change(&self.kind) else {
            return Ok(None);
        };
        let Self {
            id: event,
            kind,
            order_id,
            amount_cents,
            payment_intent,
            data,
        } = self;
        let Some(Data { object }) = data else {
            if order_id.is_none() && payment_intent.is_none() {
                return Err("the event names neither an order nor a payment intent".to_owned());
            }
            return Ok(Some(Told {
                event,
                kind,
                change,
                named_intent: payment_intent,
                order_id,
                amount_cents: amount_cents.unwrap_or_default(),
            }));
        };
        // Charges and disputes name their intent. The object of other events is the intent.
        let is_intent = kind.starts_with("payment_intent.");
        let intent = if is_intent {
            object.id
        } else {
            object.payment_intent
        };
        let amount = if is_intent {
            object.amount_received
        } else {
            object.amount_refunded
        };
        let order = object
            .metadata
            .and_then(|metadata| metadata.get("order_id")?.parse().ok());
        Ok(Some(Told {
            event,
            kind,
            change,
            named_intent: Some(intent.ok_or("the event names no payment intent")?),
            order_id: order,
            amount_cents: amount.unwrap_or_default(),
        }))
    }
}

impl Told {
    /// The id by which the payment is known.
    pub fn intent(&self) -> String {
        let of_order = || intent_of_order(self.order_id.unwrap_or_default());
        self.named_intent.clone().unwrap_or_else(of_order)
    }
}

/// Applies an event in a transaction. Its id is stored in the same transaction, so it takes effect
/// at most once.
pub fn apply(transaction: &Transaction, told: &Told) -> Result<Applied, Error> {
    let intent = told.intent();
    let order_id = match told.order_id {
        known @ Some(_) => known,
        None => transaction
            .query_optional::<Option<i64>>("SELECT order_id FROM payments WHERE intent = $1", (&intent,))?
            .flatten(),
    };
    if let Some(order_id) = order_id {
        // Events about unknown orders are not stored. Their payments are.
        let stored = transaction.execute(
            "INSERT INTO payment_events (id, order_id, kind, received_at)
             SELECT $1, id, $3, $4 FROM orders WHERE id = $2 AND NOT EXISTS (
                 SELECT 1 FROM payment_events WHERE id = $1
             )",
            (&told.event, order_id, &told.kind, time::now()),
        )?;
        let is_known = stored == 0 && crate::orders::find_summary(transaction, order_id)?.is_some();
        if is_known {
            return Ok(Applied::Duplicate);
        }
    }
    match told.change {
        Change::Succeeded => {
            let completion = complete(
                transaction,
                &Paid {
                    intent: &intent,
                    order_id: order_id.unwrap_or_default(),
                    amount_cents: told.amount_cents,
                    source: Source::Webhook,
                },
            )?;
            Ok(Applied::Completed(completion))
        }
        Change::Unpaid(state) => {
            note_unpaid(transaction, order_id.unwrap_or_default(), state)?;
            Ok(Applied::Done)
        }
        Change::Refunded | Change::Disputed if !is_known_payment(transaction, &intent)? => Ok(Applied::Early),
        Change::Refunded => {
            refunds::told(transaction, &intent, told.amount_cents)?;
            Ok(Applied::Done)
        }
        Change::Disputed => {
            note_disputed(transaction, &intent)?;
            Ok(Applied::Done)
        }
    }
}

fn is_known_payment(transaction: &Transaction, intent: &str) -> Result<bool, Error> {
    let known: Option<i64> =
        transaction.query_optional("SELECT id FROM payments WHERE intent = $1", (intent,))?;
    Ok(known.is_some())
}

fn change(kind: &str) -> Option<Change> {
    Some(match kind {
        "payment.succeeded" | "payment_intent.succeeded" => Change::Succeeded,
        "payment.failed" | "payment_intent.payment_failed" => Change::Unpaid(PaymentState::Failed),
        "payment.authorized" | "payment_intent.amount_capturable_updated" => {
            Change::Unpaid(PaymentState::Authorized)
        }
        "payment.requires_action" | "payment_intent.requires_action" => {
            Change::Unpaid(PaymentState::RequiresAction)
        }
        "payment.refunded" | "charge.refunded" => Change::Refunded,
        "payment.disputed" | "charge.dispute.created" => Change::Disputed,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(event: Value) -> Result<Option<Told>, String> {
        serde_json::from_value::<Event>(event).expect("an event").told()
    }

    #[test]
    fn both_forms_tell_the_same() {
        let simple = told(json!({
            "id": "e", "type": "payment.succeeded", "order_id": 7, "amount_cents": 990,
            "payment_intent": "pi_1",
        }));
        let of_stripe = told(json!({
            "id": "e", "type": "payment_intent.succeeded", "created": 1_767_225_600, "data": { "object": {
                "id": "pi_1", "object": "payment_intent", "amount": 990, "amount_received": 990,
                "metadata": { "order_id": "7" },
            } },
        }));
        let (simple, of_stripe) = (simple.unwrap().unwrap(), of_stripe.unwrap().unwrap());
        assert_eq!((simple.intent(), simple.order_id), ("pi_1".to_owned(), Some(7)));
        assert_eq!(
            Told {
                kind: simple.kind.clone(),
                ..of_stripe
            },
            simple
        );
    }

    #[test]
    fn a_charge_names_its_intent_and_what_was_refunded_altogether() {
        let refunded = told(json!({
            "id": "e", "type": "charge.refunded",
            "data": { "object": {
                "id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 300, "metadata": null,
            } },
        }));
        let refunded = refunded.unwrap().unwrap();
        assert_eq!(
            (refunded.intent().as_str(), refunded.amount_cents, refunded.change),
            ("pi_1", 300, Change::Refunded)
        );
    }

    #[test]
    fn an_event_without_an_intent_is_about_its_order() {
        let event = json!({ "id": "e", "type": "payment.succeeded", "order_id": 7, "amount_cents": 1 });
        assert_eq!(told(event).unwrap().unwrap().intent(), "order-7");
        assert!(told(json!({ "id": "e", "type": "payment.succeeded" })).is_err());
        assert_eq!(told(json!({ "id": "e", "type": "customer.created" })), Ok(None));
    }
}
