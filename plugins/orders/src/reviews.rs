//! What a person has to decide: orders that are paid and cannot be fulfilled as they are, and
//! payments that match nothing.

use mortise_sdk::db::{Transaction, Value};
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::orders;
use crate::payments::{self, refunds};
use crate::products;
use crate::states::{FulfilmentState, OrderState};
use crate::stock::{self, Taken};

/// The most reviews of one answer.
const MOST: u32 = 100;

/// Why a person has to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Another amount was paid than was due.
    AmountMismatch,
    /// A part of the stock of a paid order is gone.
    OutOfStock,
    /// The payment provider rejected a refund.
    RefundFailed,
    /// A payment names an order that does not exist.
    UnknownOrder,
    /// The payment provider does not know a payment.
    UnknownToProvider,
    /// The customer's bank disputes a payment.
    Disputed,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Review {
    id: i64,
    order_id: Option<i64>,
    intent: Option<String>,
    reason: String,
    detail: String,
    opened_at: i64,
}

#[derive(Serialize)]
pub struct Reviews {
    items: Vec<Review>,
}

#[derive(Deserialize)]
pub struct Decision {
    action: Action,
}

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Fulfil the order as it is paid.
    Confirm,
    /// Cancel the order and refund what is left of the payment.
    Refund,
    /// Nothing is left to do.
    Dismiss,
}

/// Opens a review, unless the same one is open.
pub fn open(
    transaction: &Transaction,
    order: Option<i64>,
    intent: Option<&str>,
    reason: Reason,
    detail: &str,
) -> Result<(), Error> {
    let opened = transaction.execute(
        "INSERT INTO reviews (order_id, intent, reason, detail, opened_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT DO NOTHING",
        (order, intent, reason, detail, time::now()),
    )?;
    if opened > 0 {
        let order = order.unwrap_or_default();
        log::warn(
            "A person has to decide",
            &[("order_id", &order), ("reason", &reason.as_str())],
        );
    }
    Ok(())
}

/// Lists the open reviews, the oldest first.
pub fn list() -> Result<Json<Reviews>, Error> {
    let items = db::query_as(
        "SELECT id, order_id, intent, reason, detail, opened_at FROM reviews WHERE resolved_at IS NULL
         ORDER BY id LIMIT $1",
        (MOST,),
    )?;
    Ok(Json(Reviews { items }))
}

/// Does what a person decided, and closes the review.
pub fn resolve(
    principal: Principal,
    Path(id): Path<i64>,
    Json(decision): Json<Decision>,
) -> Result<Json<Review>, Error> {
    let transaction = db::begin()?;
    let review: Option<Review> = transaction.query_optional(
        "SELECT id, order_id, intent, reason, detail, opened_at FROM reviews
         WHERE id = $1 AND resolved_at IS NULL",
        (id,),
    )?;
    let missing = || Error::not_found(format!("there is no open review {id}")).with_code("unknown-review");
    let review = review.ok_or_else(missing)?;
    // It is closed first, so that what follows may open another one.
    transaction.execute(
        "UPDATE reviews SET resolved_at = $2, resolution = $3 WHERE id = $1",
        (id, time::now(), decision.action),
    )?;
    match decision.action {
        Action::Confirm => confirm(&transaction, &review)?,
        Action::Refund => refund(&transaction, &review, &principal.id)?,
        Action::Dismiss => dismiss(&transaction, &review)?,
    }
    transaction.commit()?;
    products::forget_first_page();
    Ok(Json(review))
}

/// Confirms an order that waits for a decision, if all of its stock is there.
fn confirm(transaction: &Transaction, review: &Review) -> Result<(), Error> {
    let order = order_in_review(transaction, review)?;
    let Some(order) = order else {
        return Err(wrong_action("only an order in review can be confirmed"));
    };
    stock::consume(transaction, order)?;
    if stock::take_again(transaction, order)? != Taken::All {
        return Err(Error::conflict("a part of the order's stock is gone").with_code("out-of-stock"));
    }
    payments::confirm(transaction, order)
}

/// Cancels the order of a review if nothing of it is shipped, and refunds what is left of the
/// payment.
fn refund(transaction: &Transaction, review: &Review, by: &str) -> Result<(), Error> {
    if let Some(order) = review.order_id {
        let found = orders::summary(transaction, order)?;
        let is_open = matches!(found.state, OrderState::Review | OrderState::Confirmed);
        if is_open && found.fulfilment_state == FulfilmentState::Unfulfilled {
            return payments::cancel(transaction, order, by);
        }
    }
    let left: Option<(i64, Option<i64>, i64)> = transaction.query_optional(
        "SELECT id, order_id, amount_cents - refund_cents FROM payments
         WHERE intent = $1 AND amount_cents > refund_cents",
        (review.intent.as_deref(),),
    )?;
    let Some((payment, order, amount_cents)) = left else {
        return Err(wrong_action("nothing of the payment is left to refund"));
    };
    refunds::request(
        transaction,
        &refunds::NewRefund {
            payment,
            order,
            amount_cents,
            reason: "decided by a person",
            key: &format!("review-{}", review.id),
            created_by: by,
        },
    )?;
    Ok(())
}

/// Checks that an order does not stay in review without an open one.
fn dismiss(transaction: &Transaction, review: &Review) -> Result<(), Error> {
    let Some(order) = order_in_review(transaction, review)? else {
        return Ok(());
    };
    let others: i64 = transaction.query_one(
        "SELECT count(*) FROM reviews WHERE order_id = $1 AND resolved_at IS NULL",
        (order,),
    )?;
    match others {
        0 => Err(wrong_action(
            "an order in review is confirmed or refunded, not dismissed",
        )),
        _ => Ok(()),
    }
}

/// The order of a review, if it waits for a decision.
fn order_in_review(transaction: &Transaction, review: &Review) -> Result<Option<i64>, Error> {
    let Some(order) = review.order_id else {
        return Ok(None);
    };
    let found = orders::summary(transaction, order)?;
    Ok((found.state == OrderState::Review).then_some(order))
}

fn wrong_action(why: &'static str) -> Error {
    Error::conflict(why).with_code("wrong-action")
}

impl Reason {
    fn as_str(self) -> &'static str {
        match self {
            Self::AmountMismatch => "amount-mismatch",
            Self::OutOfStock => "out-of-stock",
            Self::RefundFailed => "refund-failed",
            Self::UnknownOrder => "unknown-order",
            Self::UnknownToProvider => "unknown-to-provider",
            Self::Disputed => "disputed",
        }
    }
}

impl From<Reason> for Value {
    fn from(reason: Reason) -> Self {
        reason.as_str().into()
    }
}

impl From<Action> for Value {
    fn from(action: Action) -> Self {
        match action {
            Action::Confirm => "confirm",
            Action::Refund => "refund",
            Action::Dismiss => "dismiss",
        }
        .into()
    }
}

#[cfg(test)]
mod tests {
    use mortise_sdk::testing::Host;
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{check_invariants, host, order, pay, post, product, show, stock};

    fn open(host: &Host) -> Vec<Value> {
        let request = host.request("GET", "/reviews").scopes(["orders:read"]);
        let answer: Value = request.send(&APP).json();
        answer["items"].as_array().expect("a list").clone()
    }

    #[test]
    fn an_order_that_was_paid_too_little_is_confirmed_by_a_person() {
        let host = host();
        let chair = product("CHAIR", 100, 5);
        let id = order(&host, chair, 2);
        assert_eq!(pay(&host, "pi_1", id, 150), "review");
        let reviews = open(&host);
        assert_eq!(
            (reviews.len(), &reviews[0]["reason"], &reviews[0]["order_id"]),
            (1, &json!("amount-mismatch"), &json!(id))
        );
        let path = format!("/reviews/{}", reviews[0]["id"]);
        let dismissed = post(&host, &path, &json!({"action": "dismiss"}));
        assert_eq!(dismissed.json::<Value>()["code"], "wrong-action");
        assert_eq!(post(&host, &path, &json!({"action": "confirm"})).status(), 200);
        assert_eq!(show(id)["state"], "confirmed");
        assert!(open(&host).is_empty());
        assert_eq!(post(&host, &path, &json!({"action": "confirm"})).status(), 404);
        check_invariants(&[(chair, 5)]);
    }

    #[test]
    fn an_order_in_review_is_refunded_by_a_person() {
        let host = host();
        let chair = product("CHAIR", 100, 5);
        let id = order(&host, chair, 2);
        pay(&host, "pi_1", id, 150);
        let path = format!("/reviews/{}", open(&host)[0]["id"]);
        assert_eq!(post(&host, &path, &json!({"action": "refund"})).status(), 200);
        assert_eq!((show(id)["state"].clone(), stock(chair)), (json!("cancelled"), 5));
        assert!(host.jobs().iter().any(|job| job.name == "refund"));
        check_invariants(&[(chair, 5)]);
    }
}
