//! Shipments. An order may be shipped in parts.

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::mail::{self, Mail};
use crate::orders::{self, NewLine, OrderSummary};
use crate::states::{self, FulfilmentState, OrderState};

/// What is shipped; without lines it is all that is left.
#[derive(Default, Deserialize)]
pub struct NewShipment {
    #[serde(default)]
    carrier: String,
    #[serde(default)]
    tracking: String,
    #[serde(default)]
    lines: Vec<NewLine>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Shipment {
    id: i64,
    order_id: i64,
    carrier: String,
    tracking: String,
    created_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<i64>,
}

/// Ships a part of an order, or all that is left of it.
pub fn create(Path(order): Path<i64>, Json(new): Json<NewShipment>) -> Result<impl IntoResponse, Error> {
    let transaction = db::begin()?;
    let id = ship(&transaction, order, &new)?;
    let shipment = find(&transaction, id)?;
    transaction.commit()?;
    Ok((Status::CREATED, Json(shipment)))
}

/// Notes that a shipment has arrived.
pub fn delivered(Path((order, shipment)): Path<(i64, i64)>) -> Result<Json<Shipment>, Error> {
    let transaction = db::begin()?;
    let changed = transaction.execute(
        "UPDATE shipments SET delivered_at = $3 WHERE id = $1 AND order_id = $2 AND delivered_at IS NULL",
        (shipment, order, time::now()),
    )?;
    let found = find(&transaction, shipment)?;
    if found.order_id != order {
        return Err(unknown_shipment(shipment));
    }
    // A repeated request changes nothing.
    if changed > 0 {
        note_delivered(&transaction, order)?;
    }
    transaction.commit()?;
    Ok(Json(found))
}

/// Ships all that is left of an order.
pub fn ship_all(transaction: &Transaction, order: i64) -> Result<(), Error> {
    ship(transaction, order, &NewShipment::default()).map(drop)
}

/// Notes that all shipments of an order have arrived.
pub fn deliver_all(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "UPDATE shipments SET delivered_at = $2 WHERE order_id = $1 AND delivered_at IS NULL",
        (order, time::now()),
    )?;
    note_delivered(transaction, order)
}

/// Reads a shipment in a transaction, or returns a 404.
fn find(transaction: &Transaction, id: i64) -> Result<Shipment, Error> {
    let found = transaction.query_optional(
        "SELECT id, order_id, carrier, tracking, created_at, delivered_at FROM shipments WHERE id = $1",
        (id,),
    )?;
    found.ok_or_else(|| unknown_shipment(id))
}

/// Sets the state of an order's fulfilment to what its lines and shipments add up to. Returns the
/// order as it is now.
pub fn note_fulfilment(transaction: &Transaction, order: i64) -> Result<OrderSummary, Error> {
    transaction.execute(
        "UPDATE orders SET fulfilment_state = (
             SELECT CASE
                 WHEN sum(shipped) = 0 THEN 'unfulfilled'
                 WHEN sum(quantity - shipped - cancelled) > 0 THEN 'partially_shipped'
                 WHEN EXISTS (
                     SELECT 1 FROM shipments WHERE shipments.order_id = orders.id AND delivered_at IS NULL
                 ) THEN 'shipped'
                 ELSE 'delivered'
             END
             FROM order_lines AS line WHERE line.order_id = orders.id
         )
         WHERE id = $1",
        (order,),
    )?;
    transaction.execute(
        "UPDATE orders SET state = 'completed'
         WHERE id = $1 AND state = 'confirmed' AND fulfilment_state = 'delivered'",
        (order,),
    )?;
    orders::summary(transaction, order)
}

fn ship(transaction: &Transaction, order: i64, new: &NewShipment) -> Result<i64, Error> {
    let found = orders::summary(transaction, order)?;
    if found.state != OrderState::Confirmed {
        return Err(not_shippable(order, "it is not confirmed"));
    }
    let id: i64 = transaction.query_one(
        "INSERT INTO shipments (order_id, carrier, tracking, created_at) VALUES ($1, $2, $3, $4) RETURNING id",
        (order, &new.carrier, &new.tracking, time::now()),
    )?;
    if new.lines.is_empty() {
        let shipped = transaction.execute(
            "INSERT INTO shipment_lines (shipment_id, product_id, quantity)
             SELECT $1, product_id, quantity - shipped - cancelled FROM order_lines
             WHERE order_id = $2 AND quantity > shipped + cancelled",
            (id, order),
        )?;
        if shipped == 0 {
            return Err(not_shippable(order, "nothing of it is left to ship"));
        }
        transaction.execute(
            "UPDATE order_lines SET shipped = quantity - cancelled WHERE order_id = $1",
            (order,),
        )?;
    }
    for line in orders_lines(&new.lines)? {
        let (product, quantity) = (line.product_id, i64::from(line.quantity));
        let shipped = transaction.execute(
            "UPDATE order_lines SET shipped = shipped + $3
             WHERE order_id = $1 AND product_id = $2 AND shipped + cancelled + $3 <= quantity",
            (order, product, quantity),
        )?;
        if shipped == 0 {
            let why = format!("it has not {quantity} pieces of product {product} left to ship");
            return Err(not_shippable(order, &why).with_field("product_id", product));
        }
        transaction.execute(
            "INSERT INTO shipment_lines (shipment_id, product_id, quantity) VALUES ($1, $2, $3)",
            (id, product, quantity),
        )?;
    }
    note_fulfilment(transaction, order)?;
    states::changed(transaction, order, "order.shipped")?;
    mail::send_later(transaction, order, Mail::Shipped { shipment: id })?;
    log::info("Order shipped", &[("order_id", &order), ("shipment_id", &id)]);
    Ok(id)
}

/// The lines of a shipment, each product once.
fn orders_lines(lines: &[NewLine]) -> Result<Vec<NewLine>, Error> {
    match lines {
        [] => Ok(Vec::new()),
        lines => orders::merge_lines(lines.to_vec()),
    }
}

fn note_delivered(transaction: &Transaction, order: i64) -> Result<(), Error> {
    let now = note_fulfilment(transaction, order)?;
    if now.fulfilment_state == FulfilmentState::Delivered {
        states::changed(transaction, order, "order.delivered")?;
    }
    Ok(())
}

fn not_shippable(order: i64, why: &str) -> Error {
    Error::conflict(format!("the order {order} cannot be shipped: {why}")).with_code("not-shippable")
}

fn unknown_shipment(id: i64) -> Error {
    Error::not_found(format!("there is no shipment {id}")).with_code("unknown-shipment")
}

#[cfg(test)]
mod tests {
    use mortise_sdk::testing::Host;
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{host, order, pay, post, product, show};

    fn paid(host: &Host, quantity: u32) -> (i64, i64) {
        let chair = product("CHAIR", 100, 5);
        let id = order(host, chair, quantity);
        assert_eq!(pay(host, "pi_1", id, 100 * i64::from(quantity)), "confirmed");
        (id, chair)
    }

    #[test]
    fn an_order_is_shipped_in_parts() {
        let host = host();
        let (id, chair) = paid(&host, 3);
        let path = format!("/orders/{id}/shipments");
        let part =
            json!({"carrier": "Post", "tracking": "T1", "lines": [{"product_id": chair, "quantity": 2}]});
        assert_eq!(post(&host, &path, &part).status(), 201);
        assert_eq!(show(id)["fulfilment_state"], "partially_shipped");
        assert_eq!(show(id)["status"], "paid");
        let (status, problem) = {
            let response = post(&host, &path, &part);
            (response.status(), response.json::<Value>())
        };
        assert_eq!((status, &problem["code"]), (409, &json!("not-shippable")));
        let rest = post(&host, &path, &json!({}));
        assert_eq!(rest.status(), 201);
        assert_eq!(show(id)["status"], "shipped");
        for shipment in [1, 2] {
            let path = format!("/orders/{id}/shipments/{shipment}/delivered");
            let response = host.request("POST", &path).scopes(["orders:write"]).send(&APP);
            assert_eq!(response.status(), 200, "{}", response.text());
        }
        let order = show(id);
        assert_eq!(
            (&order["state"], &order["fulfilment_state"], &order["status"]),
            (&json!("completed"), &json!("delivered"), &json!("delivered"))
        );
    }

    #[test]
    fn an_order_that_is_not_paid_is_not_shipped() {
        let host = host();
        let id = order(&host, product("CHAIR", 100, 1), 1);
        let refused = post(&host, &format!("/orders/{id}/shipments"), &json!({}));
        assert_eq!(refused.json::<Value>()["code"], "not-shippable");
        assert_eq!(post(&host, "/orders/9/shipments", &json!({})).status(), 404);
    }

    #[test]
    fn pieces_that_are_refunded_are_not_shipped() {
        let host = host();
        let (id, chair) = paid(&host, 3);
        let refund = json!({"key": "r1", "lines": [{"product_id": chair, "quantity": 1}]});
        assert_eq!(
            post(&host, &format!("/orders/{id}/refunds"), &refund).status(),
            202
        );
        let path = format!("/orders/{id}/shipments");
        let all = json!({"lines": [{"product_id": chair, "quantity": 3}]});
        assert_eq!(post(&host, &path, &all).status(), 409);
        assert_eq!(post(&host, &path, &json!({})).status(), 201);
        assert_eq!(show(id)["fulfilment_state"], "shipped");
    }
}
