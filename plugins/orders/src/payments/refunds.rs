//! Refunds: asked for by a person, by a cancelled order, or for a payment that no order needs.
//!
//! A refund is stored first, and a job asks the payment provider for it with the key `refund-{id}`.
//! The database keeps what is to be refunded below what was paid.

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use super::provider::{self, ProviderError};
use crate::mail::{self, Mail};
use crate::orders::{self, NewLine};
use crate::reviews::{self, Reason};
use crate::states::{self, OrderState};
use crate::{products, shipments, stock};

/// A refund to store.
#[derive(Debug)]
pub struct NewRefund<'a> {
    pub payment: i64,
    pub order: Option<i64>,
    pub amount_cents: i64,
    pub reason: &'a str,
    /// A payment has one refund with the same key.
    pub key: &'a str,
    pub created_by: &'a str,
}

/// A refund as callers see it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refund {
    id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_id: Option<i64>,
    amount_cents: i64,
    reason: String,
    key: String,
    state: String,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    done_at: Option<i64>,
}

/// What a person asks for: an amount, or lines.
#[derive(Deserialize)]
pub struct RefundRequest {
    key: String,
    amount_cents: Option<i64>,
    #[serde(default)]
    lines: Vec<NewLine>,
    reason: Option<String>,
}

/// The payload of the job.
#[derive(Deserialize, Serialize)]
pub struct RefundJob {
    refund_id: i64,
}

/// A payment as callers see it.
#[derive(Debug, Serialize, Deserialize)]
struct PaymentRow {
    intent: String,
    purpose: String,
    source: String,
    amount_cents: i64,
    refund_cents: i64,
    refunded_cents: i64,
    captured_at: i64,
}

#[derive(Serialize)]
pub struct Payments {
    payments: Vec<PaymentRow>,
    refunds: Vec<Refund>,
}

#[derive(Deserialize)]
struct Pending {
    order_id: Option<i64>,
    payment_id: i64,
    intent: String,
    amount_cents: i64,
    reason: String,
    state: String,
}

const COLUMNS: &str = "id, order_id, amount_cents, reason, key, state, created_at, done_at";

/// Stores a refund, and adds the job that asks the provider for it. Returns its id.
pub fn request(transaction: &Transaction, new: &NewRefund<'_>) -> Result<i64, Error> {
    let source: Option<String> = transaction.query_optional(
        "UPDATE payments SET refund_cents = refund_cents + $2
         WHERE id = $1 AND refund_cents + $2 <= amount_cents RETURNING source",
        (new.payment, new.amount_cents),
    )?;
    let source = source.ok_or_else(|| {
        Error::conflict("more would be refunded than was paid").with_code("refund-too-large")
    })?;
    let id: i64 = transaction.query_one(
        "INSERT INTO refunds (payment_id, order_id, amount_cents, reason, key, state, created_by, created_at)
         VALUES ($1, $2, $3, $4, $5, 'requested', $6, $7) RETURNING id",
        (
            new.payment,
            new.order,
            new.amount_cents,
            new.reason,
            new.key,
            new.created_by,
            time::now(),
        ),
    )?;
    if matches!(source.as_str(), "manual" | "migration") {
        // The provider has no such payment. The person who noted it gives the money back.
        done(transaction, id, None)?;
    } else {
        NewJob::new("refund")
            .payload(&RefundJob { refund_id: id })
            .unique_key(format!("refund-{id}"))
            .enqueue_in(transaction)?;
    }
    Ok(id)
}

/// The job: asks the provider for a refund. A refund that the provider rejects is left to a person.
pub fn refund(payload: RefundJob) -> Result<(), JobError> {
    let id = payload.refund_id;
    let pending: Option<Pending> = db::query_optional(
        "SELECT refunds.order_id, payment_id, intent, refunds.amount_cents, reason, state
         FROM refunds JOIN payments ON payments.id = refunds.payment_id WHERE refunds.id = $1",
        (id,),
    )?;
    let Some(pending) = pending else {
        return Err(JobError::discard(format!("there is no refund {id}")));
    };
    if pending.state != "requested" {
        return Ok(());
    }
    let key = format!("refund-{id}");
    let answer = provider::refund(&key, &pending.intent, pending.amount_cents, &pending.reason);
    db::transaction(|transaction| {
        match answer {
            Ok(provider_id) => done(transaction, id, Some(&provider_id))?,
            Err(error @ ProviderError::NotSet) => return Err(JobError::discard(error.to_string())),
            Err(error @ ProviderError::Failed(_)) => return Err(error.into()),
            Err(error @ (ProviderError::Unknown | ProviderError::Rejected(_))) => {
                failed(transaction, id, &pending, &error.to_string())?;
            }
        }
        transaction.complete()?;
        Ok(())
    })?;
    log::info("Refund handled", &[("refund_id", &id)]);
    Ok(())
}

/// Stores that a payment was refunded, and tells the customer.
fn done(transaction: &Transaction, id: i64, provider_id: Option<&str>) -> Result<(), Error> {
    let ended: Option<(i64, Option<i64>, i64)> = transaction.query_optional(
        "UPDATE refunds SET state = 'done', provider_id = $2, done_at = $3
         WHERE id = $1 AND state = 'requested' RETURNING payment_id, order_id, amount_cents",
        (id, provider_id, time::now()),
    )?;
    let Some((payment, order, amount_cents)) = ended else {
        return Ok(());
    };
    transaction.execute(
        "UPDATE payments SET refunded_cents = refunded_cents + $2 WHERE id = $1",
        (payment, amount_cents),
    )?;
    let Some(order) = order else { return Ok(()) };
    super::settle(transaction, order)?;
    states::changed(transaction, order, "order.refunded")?;
    mail::send_later(transaction, order, Mail::Refunded { refund: id })
}

/// Gives up a refund, so that a person can ask for it again.
fn failed(transaction: &Transaction, id: i64, pending: &Pending, why: &str) -> Result<(), Error> {
    let changed = transaction.execute(
        "UPDATE refunds SET state = 'failed' WHERE id = $1 AND state = 'requested'",
        (id,),
    )?;
    if changed == 0 {
        return Ok(());
    }
    transaction.execute(
        "UPDATE payments SET refund_cents = refund_cents - $2 WHERE id = $1",
        (pending.payment_id, pending.amount_cents),
    )?;
    let detail = format!("The refund {id} of {} cents failed: {why}.", pending.amount_cents);
    let reason = Reason::RefundFailed;
    reviews::open(
        transaction,
        pending.order_id,
        Some(&pending.intent),
        reason,
        &detail,
    )
}

/// Notes what the provider says that it refunded altogether. What is more than the shop asked for
/// was refunded by a person at the provider.
pub fn told(transaction: &Transaction, intent: &str, refunded_cents: i64) -> Result<(), Error> {
    let payment: Option<(i64, Option<i64>, i64, i64)> = transaction.query_optional(
        "SELECT id, order_id, amount_cents, refund_cents FROM payments WHERE intent = $1",
        (intent,),
    )?;
    let Some((payment, order, amount_cents, refund_cents)) = payment else {
        return Ok(());
    };
    let more = refunded_cents.min(amount_cents) - refund_cents;
    if more <= 0 {
        return Ok(());
    }
    transaction.execute(
        "UPDATE payments SET refund_cents = refund_cents + $2 WHERE id = $1",
        (payment, more),
    )?;
    let id: i64 = transaction.query_one(
        "INSERT INTO refunds (payment_id, order_id, amount_cents, reason, key, state, created_by, created_at)
         VALUES ($1, $2, $3, 'refunded at the payment provider', $4, 'requested', 'provider', $5) RETURNING id",
        (
            payment,
            order,
            more,
            format!("provider-{refunded_cents}"),
            time::now(),
        ),
    )?;
    done(transaction, id, None)
}

/// Refunds a part of an order: an amount, or pieces at their price. Pieces that are not shipped go
/// back to the stock. A request with the key of an earlier one returns that refund.
pub fn create(
    principal: Principal,
    Path(order): Path<i64>,
    Json(new): Json<RefundRequest>,
) -> Result<impl IntoResponse, Error> {
    let transaction = db::begin()?;
    let id = create_in(&transaction, order, &new, &principal.id)?;
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE id = $1");
    let refund: Refund = transaction.query_one(&sql, (id,))?;
    transaction.commit()?;
    products::forget_first_page();
    Ok((Status::ACCEPTED, Json(refund)))
}

fn create_in(transaction: &Transaction, order: i64, new: &RefundRequest, by: &str) -> Result<i64, Error> {
    let found = orders::summary(transaction, order)?;
    let payment: Option<i64> = transaction.query_optional(
        "SELECT id FROM payments WHERE order_id = $1 AND purpose = 'completes'",
        (order,),
    )?;
    let payment = payment
        .ok_or_else(|| Error::conflict(format!("the order {order} is not paid")).with_code("not-paid"))?;
    let key = format!("request-{}", new.key);
    let earlier: Option<i64> = transaction.query_optional(
        "SELECT id FROM refunds WHERE payment_id = $1 AND key = $2",
        (payment, &key),
    )?;
    if let Some(earlier) = earlier {
        return Ok(earlier);
    }
    let lines = if new.lines.is_empty() {
        Vec::new()
    } else if found.state == OrderState::Review {
        return Err(
            Error::conflict("the order is in review; decide about it as a whole")
                .with_code("order-in-review"),
        );
    } else {
        let wanted = orders::merge_lines(new.lines.clone())?;
        refund_lines(transaction, order, &wanted)?
    };
    let of_lines: i64 = lines.iter().map(|(_, _, cents)| cents).sum();
    let amount_cents = new.amount_cents.unwrap_or(of_lines);
    if amount_cents <= 0 {
        return Err(Error::unprocessable("a refund is of at least one cent"));
    }
    let id = request(
        transaction,
        &NewRefund {
            payment,
            order: Some(order),
            amount_cents,
            reason: new.reason.as_deref().unwrap_or("requested"),
            key: &key,
            created_by: by,
        },
    )?;
    for (product, quantity, cents) in &lines {
        transaction.execute(
            "INSERT INTO refund_lines (refund_id, product_id, quantity, amount_cents) VALUES ($1, $2, $3, $4)",
            (id, *product, *quantity, *cents),
        )?;
        stock::cancel_pieces(transaction, order, *product, *quantity)?;
    }
    if !lines.is_empty() && found.state == OrderState::Confirmed {
        shipments::note_fulfilment(transaction, order)?;
    }
    Ok(id)
}

/// Counts pieces of lines as refunded. Returns each product with its pieces and their price.
fn refund_lines(
    transaction: &Transaction,
    order: i64,
    wanted: &[NewLine],
) -> Result<Vec<(i64, i64, i64)>, Error> {
    let mut refunded = Vec::with_capacity(wanted.len());
    for line in wanted {
        let (product, quantity) = (line.product_id, i64::from(line.quantity));
        let price: Option<i64> = transaction.query_optional(
            "UPDATE order_lines SET refunded = refunded + $3
             WHERE order_id = $1 AND product_id = $2 AND refunded + $3 <= quantity RETURNING unit_price_cents",
            (order, product, quantity),
        )?;
        let price = price.ok_or_else(|| {
            Error::conflict(format!(
                "the order has not {quantity} pieces of product {product} to refund"
            ))
            .with_code("refund-too-large")
            .with_field("product_id", product)
        })?;
        refunded.push((product, quantity, price.saturating_mul(quantity)));
    }
    Ok(refunded)
}

/// Lists the payments and refunds of an order.
pub fn list(Path(order): Path<i64>) -> Result<Json<Payments>, Error> {
    orders::find(order)?;
    let payments = db::query_as(
        "SELECT intent, purpose, source, amount_cents, refund_cents, refunded_cents, captured_at FROM payments
         WHERE order_id = $1 ORDER BY id",
        (order,),
    )?;
    let sql = format!("SELECT {COLUMNS} FROM refunds WHERE order_id = $1 ORDER BY id");
    let refunds = db::query_as(&sql, (order,))?;
    Ok(Json(Payments { payments, refunds }))
}
