//! The status of an order as callers of earlier versions of the API see and change it. It is made
//! of the order's three states.

use mortise_sdk::db::{Transaction, Value};
use mortise_sdk::log;
use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

use crate::orders::{self, Order};
use crate::payments::{self, Paid, Source};
use crate::states::FulfilmentState;
use crate::{products, shipments};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    Pending,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
}

#[derive(Deserialize)]
pub struct StatusChange {
    status: OrderStatus,
}

/// Moves an order to its next status. A payment that is noted here was made outside of the payment
/// provider.
pub fn change(
    principal: Principal,
    Path(id): Path<i64>,
    Json(change): Json<StatusChange>,
) -> Result<Json<Order>, Error> {
    let transaction = db::begin()?;
    move_to(&transaction, id, change.status, &principal.id)?;
    transaction.commit()?;
    if change.status == OrderStatus::Cancelled {
        products::forget_first_page();
    }
    orders::find(id).map(Json)
}

/// Changes the status of an order, or returns why it cannot. A cancelled order returns its stock,
/// and what was paid for it is refunded.
fn move_to(transaction: &Transaction, id: i64, next: OrderStatus, by: &str) -> Result<(), Error> {
    let order = orders::summary(transaction, id)?;
    if !order.status.may_become(next) {
        let (current, next) = (order.status.as_str(), next.as_str());
        return Err(
            Error::conflict(format!("an order that is {current} cannot become {next}"))
                .with_code("illegal-transition")
                .with_field("current_status", current),
        );
    }
    match next {
        OrderStatus::Paid => {
            payments::complete(
                transaction,
                &Paid {
                    intent: &payments::intent_of_order(id),
                    order_id: id,
                    amount_cents: order.total_cents,
                    source: Source::Manual,
                },
            )?;
        }
        OrderStatus::Shipped => shipments::ship_all(transaction, id)?,
        OrderStatus::Delivered => shipments::deliver_all(transaction, id)?,
        OrderStatus::Cancelled if order.fulfilment_state != FulfilmentState::Unfulfilled => {
            return Err(
                Error::conflict("a part of the order is shipped; refund the rest of it")
                    .with_code("illegal-transition")
                    .with_field("current_status", order.status.as_str()),
            );
        }
        OrderStatus::Cancelled => payments::cancel(transaction, id, by)?,
        // No status may become it.
        OrderStatus::Pending => {}
    }
    log::info(
        "Order moved on",
        &[
            ("order_id", &id),
            ("from", &order.status.as_str()),
            ("to", &next.as_str()),
        ],
    );
    Ok(())
}

impl OrderStatus {
    fn may_become(self, next: Self) -> bool {
        use OrderStatus::{Cancelled, Delivered, Paid, Pending, Shipped};
        matches!(
            (self, next),
            (Pending, Paid | Cancelled) | (Paid, Shipped | Cancelled) | (Shipped, Delivered)
        )
    }

    /// The text in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Paid => "paid",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<OrderStatus> for Value {
    fn from(status: OrderStatus) -> Self {
        status.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use mortise_sdk::testing::Host;
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{check_invariants, host, order, pay, product, show, stock};

    fn change(host: &Host, id: i64, status: &str) -> (u16, Value) {
        let request = host
            .request("POST", &format!("/orders/{id}/status"))
            .scopes(["orders:write"]);
        let response = request.json(&json!({"status": status})).send(&APP);
        (response.status(), response.json())
    }

    #[test]
    fn an_order_goes_its_way_to_the_customer() {
        let host = host();
        let id = order(&host, product("CHAIR", 100, 1), 1);
        for status in ["paid", "shipped", "delivered"] {
            let (code, order) = change(&host, id, status);
            assert_eq!((code, &order["status"]), (200, &json!(status)));
        }
    }

    #[test]
    fn a_step_that_is_none_is_refused_and_changes_nothing() {
        let host = host();
        let id = order(&host, product("CHAIR", 100, 1), 1);
        for status in ["shipped", "delivered"] {
            let (code, problem) = change(&host, id, status);
            assert_eq!((code, &problem["code"]), (409, &json!("illegal-transition")));
            assert_eq!(problem["current_status"], "pending");
        }
        // No order becomes pending again; the schema rejects it.
        let (code, problem) = change(&host, id, "pending");
        assert_eq!((code, &problem["code"]), (400, &json!("validation-failed")));
        assert_eq!(change(&host, id, "paid").0, 200);
        assert_eq!(change(&host, id, "paid").0, 409);
    }

    #[test]
    fn cancelling_gives_the_stock_back_once() {
        let host = host();
        let chair = product("CHAIR", 100, 5);
        let id = order(&host, chair, 3);
        assert_eq!(stock(chair), 2);
        assert_eq!(change(&host, id, "cancelled").0, 200);
        assert_eq!(stock(chair), 5);
        assert_eq!(change(&host, id, "cancelled").0, 409);
        assert_eq!(stock(chair), 5);
    }

    #[test]
    fn what_is_shipped_is_not_cancelled() {
        let host = host();
        let id = order(&host, product("CHAIR", 100, 1), 1);
        change(&host, id, "paid");
        change(&host, id, "shipped");
        assert_eq!(change(&host, id, "cancelled").0, 409);
    }

    #[test]
    fn an_unknown_order_is_absent() {
        assert_eq!(change(&host(), 9, "paid").0, 404);
    }

    #[test]
    fn cancelling_a_paid_order_refunds_it() {
        let host = host();
        let chair = product("CHAIR", 100, 5);
        let (by_hand, by_provider) = (order(&host, chair, 1), order(&host, chair, 2));
        change(&host, by_hand, "paid");
        pay(&host, "pi_1", by_provider, 200);
        assert_eq!(stock(chair), 2);
        for id in [by_hand, by_provider] {
            let (code, order) = change(&host, id, "cancelled");
            assert_eq!((code, &order["status"]), (200, &json!("cancelled")));
        }
        assert_eq!(stock(chair), 5);
        // Only the provider gives back what it got.
        assert_eq!(show(by_hand)["payment_state"], "refunded");
        assert_eq!(show(by_provider)["payment_state"], "captured");
        let refunds = host.jobs().iter().filter(|job| job.name == "refund").count();
        assert_eq!(refunds, 1);
        check_invariants(&[(chair, 5)]);
    }
}
