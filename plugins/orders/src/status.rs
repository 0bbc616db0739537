//! The status of an order: its allowed transitions and their effect on stock.

use mortise_sdk::db::{Transaction, Value};
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::orders::{self, Order};
use crate::products;

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

pub fn change(Path(id): Path<i64>, Json(change): Json<StatusChange>) -> Result<Json<Order>, Error> {
    let transaction = db::begin()?;
    move_to(&transaction, id, change.status)?;
    transaction.commit()?;
    if change.status == OrderStatus::Cancelled {
        products::forget_first_page();
    }
    orders::find(id).map(Json)
}

/// Changes the status of an order, or returns why it cannot. A cancelled order returns its stock.
pub fn move_to(transaction: &Transaction, id: i64, next: OrderStatus) -> Result<(), Error> {
    let current: Option<OrderStatus> =
        transaction.query_optional("SELECT status FROM orders WHERE id = $1", (id,))?;
    let current = current.ok_or_else(|| orders::unknown_order(id))?;
    if !current.may_become(next) {
        let (current, next) = (current.as_str(), next.as_str());
        return Err(
            Error::conflict(format!("an order that is {current} cannot become {next}"))
                .with_code("illegal-transition")
                .with_field("current_status", current),
        );
    }
    // The condition on the old status also holds on an engine with concurrent transactions.
    let changed = transaction.execute(
        "UPDATE orders SET status = $3, updated_at = $4 WHERE id = $1 AND status = $2",
        (id, current, next, time::now()),
    )?;
    if changed == 0 {
        return Err(db::Error::Conflict(format!("order {id} changed meanwhile")).into());
    }
    if next == OrderStatus::Cancelled {
        transaction.execute(
            "UPDATE products SET stock = stock + lines.quantity FROM order_lines AS lines
             WHERE lines.order_id = $1 AND lines.product_id = products.id",
            (id,),
        )?;
    }
    log::info(
        "Order moved on",
        &[
            ("order_id", &id),
            ("from", &current.as_str()),
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

    fn as_str(self) -> &'static str {
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
    use crate::testing::{host, order, product, stock};

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
}
