//! Payments of orders: the one function that completes an order, and what else the payment provider
//! tells about it.
//!
//! - `events`: the provider's events, as both webhooks get them; `hook`: the job of the manifest's
//!   webhook; `legacy`: the route of earlier versions; `browser`: the customer who comes back from
//!   the payment page; `provider`: the provider's API; `refunds`: refunds; `reconcile`: the nightly
//!   comparison.
//!
//! The webhook, the browser and the reconciliation all call [`complete`]. A payment has one row by
//! the id of its payment intent, so whichever comes first completes the order, and the others
//! change nothing.

pub mod browser;
pub mod events;
pub mod hook;
pub mod legacy;
mod provider;
pub mod reconcile;
pub mod refunds;

use std::fmt;

use mortise_sdk::db::{Transaction, Value};
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::Serialize;

use crate::invoices;
use crate::mail::{self, Mail};
use crate::orders::{self, OrderSummary};
use crate::reviews::{self, Reason};
use crate::states::{self, OrderState, PaymentState};
use crate::stock::{self, Taken};
use provider::{Payment, PaymentStatus};

/// A payment that succeeded.
#[derive(Debug)]
pub struct Paid<'a> {
    /// The provider's id of the payment intent.
    pub intent: &'a str,
    pub order_id: i64,
    pub amount_cents: i64,
    pub source: Source,
}

/// Who told of a payment first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Webhook,
    /// The customer's browser.
    Return,
    Reconciliation,
    /// A person, through the API.
    Manual,
}

/// What a payment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Completion {
    /// The order is confirmed.
    Confirmed,
    /// The order is paid, and a person has to decide about it.
    Review,
    /// The order does not need the payment, so it is refunded.
    Refunded,
    /// The payment was known.
    Duplicate,
    /// There is no such order. A person has to decide about the payment.
    Unmatched,
}

/// The id of a payment whose sender names no payment intent: there is one for each order.
pub fn intent_of_order(order: i64) -> String {
    format!("order-{order}")
}

/// Completes an order with a payment that succeeded. Money has moved, so no payment is rejected:
///
/// - The order waits for it: the order is confirmed.
/// - The order has expired: its stock is taken again. If all of it is gone, the payment is
///   refunded; if a part is left, a person decides.
/// - The amount is not the one that is due: a person decides.
/// - The order is paid or cancelled: the payment is refunded.
pub fn complete(transaction: &Transaction, paid: &Paid<'_>) -> Result<Completion, Error> {
    let known: Option<i64> =
        transaction.query_optional("SELECT id FROM payments WHERE intent = $1", (paid.intent,))?;
    if known.is_some() {
        return Ok(Completion::Duplicate);
    }
    let Some(order) = orders::find_summary(transaction, paid.order_id)? else {
        insert(transaction, paid, None, "unmatched")?;
        let detail = format!(
            "{} cents were paid for the order {}, which does not exist.",
            paid.amount_cents, paid.order_id
        );
        reviews::open(
            transaction,
            None,
            Some(paid.intent),
            Reason::UnknownOrder,
            &detail,
        )?;
        return Ok(Completion::Unmatched);
    };
    let completion = match order.state {
        OrderState::Placed if paid.amount_cents == order.total_cents => {
            insert(transaction, paid, Some(order.id), "completes")?;
            stock::consume(transaction, order.id)?;
            confirm(transaction, order.id)?;
            Completion::Confirmed
        }
        OrderState::Placed => {
            insert(transaction, paid, Some(order.id), "completes")?;
            let (due, amount) = (order.total_cents, paid.amount_cents);
            let detail = format!("{due} cents are due, {amount} were paid.");
            park(
                transaction,
                order.id,
                paid.intent,
                Reason::AmountMismatch,
                &detail,
            )?;
            Completion::Review
        }
        OrderState::Cancelled if order.cancel_reason.as_deref() == Some("expired") => {
            complete_late(transaction, &order, paid)?
        }
        _ => refund_surplus(transaction, &order, paid)?,
    };
    log::info(
        "Payment received",
        &[
            ("order_id", &order.id),
            ("payment_intent", &paid.intent),
            ("completion", &completion),
        ],
    );
    Ok(completion)
}

/// A payment of an order whose reservation has expired.
fn complete_late(
    transaction: &Transaction,
    order: &OrderSummary,
    paid: &Paid<'_>,
) -> Result<Completion, Error> {
    if paid.amount_cents != order.total_cents {
        return refund_surplus(transaction, order, paid);
    }
    match stock::take_again(transaction, order.id)? {
        Taken::All => {
            insert(transaction, paid, Some(order.id), "completes")?;
            confirm(transaction, order.id)?;
            Ok(Completion::Confirmed)
        }
        Taken::Some => {
            insert(transaction, paid, Some(order.id), "completes")?;
            let detail = "The payment came after the order had expired. A part of its stock is sold.";
            park(transaction, order.id, paid.intent, Reason::OutOfStock, detail)?;
            Ok(Completion::Review)
        }
        Taken::None => refund_surplus(transaction, order, paid),
    }
}

/// Refunds a payment that its order does not need.
fn refund_surplus(
    transaction: &Transaction,
    order: &OrderSummary,
    paid: &Paid<'_>,
) -> Result<Completion, Error> {
    let payment = insert(transaction, paid, Some(order.id), "surplus")?;
    if order.state == OrderState::Cancelled {
        settle(transaction, order.id)?;
    }
    if paid.amount_cents > 0 {
        refunds::request(
            transaction,
            &refunds::NewRefund {
                payment,
                order: Some(order.id),
                amount_cents: paid.amount_cents,
                reason: "the order does not need the payment",
                key: "surplus",
                created_by: "orders",
            },
        )?;
    }
    Ok(Completion::Refunded)
}

/// Confirms an order that is paid and whose stock is sold: it gets its invoice, and the mail is
/// sent by a job.
pub fn confirm(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "UPDATE orders SET state = 'confirmed', cancel_reason = NULL, expires_at = NULL,
             payment_state = CASE
                 WHEN payment_state IN ('pending', 'requires_action', 'authorized', 'failed') THEN 'captured'
                 ELSE payment_state
             END
         WHERE id = $1",
        (order,),
    )?;
    settle(transaction, order)?;
    invoices::issue(transaction, order)?;
    states::changed(transaction, order, "order.paid")?;
    mail::send_later(transaction, order, Mail::Confirmed)
}

/// Keeps a paid order for a person to decide.
fn park(
    transaction: &Transaction,
    order: i64,
    intent: &str,
    reason: Reason,
    detail: &str,
) -> Result<(), Error> {
    transaction.execute(
        "UPDATE orders SET state = 'review', payment_state = 'captured', cancel_reason = NULL, expires_at = NULL
         WHERE id = $1",
        (order,),
    )?;
    settle(transaction, order)?;
    states::changed(transaction, order, "order.review")?;
    reviews::open(transaction, Some(order), Some(intent), reason, detail)
}

/// Cancels an order, and refunds what was paid for it. Nothing of it may be shipped.
pub fn cancel(transaction: &Transaction, order: i64, by: &str) -> Result<(), Error> {
    stock::release(transaction, order)?;
    stock::return_unshipped(transaction, order)?;
    transaction.execute(
        "UPDATE orders SET state = 'cancelled', cancel_reason = 'requested', expires_at = NULL WHERE id = $1",
        (order,),
    )?;
    states::changed(transaction, order, "order.cancelled")?;
    mail::send_later(transaction, order, Mail::Cancelled)?;
    let left: Option<(i64, i64)> = transaction.query_optional(
        "SELECT id, amount_cents - refund_cents FROM payments
         WHERE order_id = $1 AND purpose = 'completes' AND amount_cents > refund_cents",
        (order,),
    )?;
    if let Some((payment, amount_cents)) = left {
        refunds::request(
            transaction,
            &refunds::NewRefund {
                payment,
                order: Some(order),
                amount_cents,
                reason: "the order was cancelled",
                key: "cancelled",
                created_by: by,
            },
        )?;
    }
    Ok(())
}

/// Sets the state of an order's payment to what its payments and refunds add up to. Payments that
/// the order did not need count only if there are no others.
pub fn settle(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "UPDATE orders SET payment_state = (
             SELECT CASE
                 WHEN sum(refunded_cents) = 0 THEN 'captured'
                 WHEN sum(refunded_cents) < sum(amount_cents) THEN 'partially_refunded'
                 ELSE 'refunded'
             END
             FROM payments AS paid WHERE paid.order_id = orders.id AND (
                 paid.purpose = 'completes' OR NOT EXISTS (
                     SELECT 1 FROM payments AS main
                     WHERE main.order_id = orders.id AND main.purpose = 'completes'
                 )
             )
         )
         WHERE id = $1 AND payment_state <> 'disputed'
           AND EXISTS (SELECT 1 FROM payments WHERE payments.order_id = orders.id)",
        (order,),
    )?;
    Ok(())
}

/// Notes what the provider says about a payment that has not succeeded. It changes nothing once the
/// order is paid or has ended, because events arrive in any order.
fn note_unpaid(transaction: &Transaction, order: i64, state: PaymentState) -> Result<(), Error> {
    transaction.execute(
        "UPDATE orders SET payment_state = $2 WHERE id = $1 AND state = 'placed'",
        (order, state),
    )?;
    Ok(())
}

/// Notes that the customer's bank disputes a payment.
fn note_disputed(transaction: &Transaction, intent: &str) -> Result<(), Error> {
    let order: Option<i64> = transaction.query_optional(
        "UPDATE orders SET payment_state = 'disputed'
         WHERE id = (SELECT order_id FROM payments WHERE intent = $1 AND purpose = 'completes')
           AND payment_state <> 'disputed' RETURNING id",
        (intent,),
    )?;
    let Some(order) = order else {
        return Ok(());
    };
    states::changed(transaction, order, "order.review")?;
    let detail = "The customer's bank disputes the payment.";
    reviews::open(transaction, Some(order), Some(intent), Reason::Disputed, detail)
}

/// Applies what the provider's API says about a payment, which is newer than every event. `None`
/// means that the payment has not succeeded.
fn apply(transaction: &Transaction, payment: &Payment, source: Source) -> Result<Option<Completion>, Error> {
    let order_id = payment.order_id.unwrap_or_default();
    let state = match payment.status {
        PaymentStatus::Succeeded => {
            let completion = complete(
                transaction,
                &Paid {
                    intent: &payment.id,
                    order_id,
                    amount_cents: payment.amount_cents,
                    source,
                },
            )?;
            refunds::told(transaction, &payment.id, payment.refunded_cents)?;
            return Ok(Some(completion));
        }
        PaymentStatus::Authorized => PaymentState::Authorized,
        PaymentStatus::RequiresAction => PaymentState::RequiresAction,
        PaymentStatus::Failed | PaymentStatus::Canceled => PaymentState::Failed,
        PaymentStatus::Other => return Ok(None),
    };
    note_unpaid(transaction, order_id, state)?;
    Ok(None)
}

/// Stores a payment. Its intent is unique, and so is the payment that completes an order.
fn insert(
    transaction: &Transaction,
    paid: &Paid<'_>,
    order: Option<i64>,
    purpose: &str,
) -> Result<i64, Error> {
    Ok(transaction.query_one(
        "INSERT INTO payments (intent, order_id, purpose, source, amount_cents, captured_at)
         VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        (
            paid.intent,
            order,
            purpose,
            paid.source,
            paid.amount_cents,
            time::now(),
        ),
    )?)
}

impl From<Source> for Value {
    fn from(source: Source) -> Self {
        match source {
            Source::Webhook => "webhook",
            Source::Return => "return",
            Source::Reconciliation => "reconciliation",
            Source::Manual => "manual",
        }
        .into()
    }
}

impl fmt::Display for Completion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Confirmed => "confirmed",
            Self::Review => "review",
            Self::Refunded => "refunded",
            Self::Duplicate => "duplicate",
            Self::Unmatched => "unmatched",
        })
    }
}
