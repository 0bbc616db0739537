//! Creates, reads and lists orders.

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::currency::{self, Converted};
use crate::mail::{self, Mail};
use crate::pagination::{Page, PageQuery};
use crate::payments::{self, Paid, Source};
use crate::states::{self, FulfilmentState, OrderState, PaymentState};
use crate::status::OrderStatus;
use crate::{erp, expiry, products, stock};

/// The columns of an [`OrderSummary`].
const COLUMNS: &str = "id, status, state, payment_state, fulfilment_state, cancel_reason, customer_email, \
     total_cents, created_at, updated_at, expires_at, revision, synced_revision, synced_at";

#[derive(Debug, Serialize)]
pub struct Order {
    #[serde(flatten)]
    pub summary: OrderSummary,
    pub lines: Vec<OrderLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub converted: Option<Converted>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OrderSummary {
    pub id: i64,
    /// What the three states mean for callers of earlier versions of the API.
    pub status: OrderStatus,
    pub state: OrderState,
    pub payment_state: PaymentState,
    pub fulfilment_state: FulfilmentState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_reason: Option<String>,
    pub customer_email: String,
    pub total_cents: i64,
    pub created_at: i64,
    pub updated_at: i64,
    /// When the order is cancelled if it is not paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Counts the changes of the order.
    pub revision: i64,
    /// The revision that the ERP has.
    #[serde(skip_serializing)]
    pub synced_revision: i64,
    /// When the ERP had the order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_at: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct OrderLine {
    pub product_id: i64,
    pub name: String,
    pub unit_price_cents: i64,
    pub quantity: i64,
    pub shipped: i64,
    /// Pieces that went back to the stock before they were shipped.
    pub cancelled: i64,
    pub refunded: i64,
}

#[derive(Deserialize)]
pub struct NewOrder {
    customer_email: String,
    lines: Vec<NewLine>,
}

#[derive(Clone, Debug, Deserialize)]
pub struct NewLine {
    pub product_id: i64,
    pub quantity: u32,
}

#[derive(Deserialize)]
pub struct ListQuery {
    status: Option<OrderStatus>,
    // `PageQuery` is not flattened, because serde reads numbers of a flattened query string as
    // text.
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
pub struct ShowQuery {
    currency: Option<String>,
}

/// Holds the stock of every line and stores the order, in one transaction. Of two concurrent buyers
/// of the last item, one gets it and the other a 409. An order that cannot be filled holds nothing.
/// The jobs for the mail, the ERP and the expiry, and the event exist if and only if the
/// transaction commits.
pub fn place(principal: Principal, Json(new): Json<NewOrder>) -> Result<impl IntoResponse, Error> {
    let wanted = merge_lines(new.lines)?;
    let (now, expires_at) = (time::now(), expiry::expires_at()?);
    let transaction = db::begin()?;
    let lines = wanted
        .iter()
        .map(|line| stock::hold(&transaction, line))
        .collect::<Result<Vec<_>, _>>()?;
    let total = total_cents(&lines).ok_or_else(|| Error::unprocessable("the total is out of range"))?;
    let id: i64 = transaction.query_one(
        "INSERT INTO orders (state, payment_state, fulfilment_state, customer_email, total_cents, created_by,
                             created_at, updated_at, expires_at)
         VALUES ('placed', 'pending', 'unfulfilled', $1, $2, $3, $4, $4, $5) RETURNING id",
        (&new.customer_email, total, &principal.id, now, expires_at),
    )?;
    for line in &lines {
        transaction.execute(
            "INSERT INTO order_lines (order_id, product_id, name, unit_price_cents, quantity)
             VALUES ($1, $2, $3, $4, $5)",
            (
                id,
                line.product_id,
                &line.name,
                line.unit_price_cents,
                line.quantity,
            ),
        )?;
    }
    stock::note_held(&transaction, id)?;
    let placed = summary(&transaction, id)?;
    states::publish(&transaction, "order.created", &placed)?;
    erp::send_later(&transaction, id, placed.revision)?;
    if total == 0 {
        // Nothing is to be paid, so nobody would ever tell that it is.
        payments::complete(
            &transaction,
            &Paid {
                intent: &payments::intent_of_order(id),
                order_id: id,
                amount_cents: 0,
                source: Source::Manual,
            },
        )?;
    } else {
        expiry::expire_later(&transaction, id, expires_at)?;
        mail::send_later(&transaction, id, Mail::Received)?;
    }
    let summary = summary(&transaction, id)?;
    transaction.commit()?;
    products::forget_first_page();
    log::info(
        "Order placed",
        &[("order_id", &summary.id), ("total_cents", &summary.total_cents)],
    );
    let location = format!("orders/{}", summary.id);
    Ok((
        Status::CREATED,
        [("location", location)],
        Json(Order {
            summary,
            lines,
            converted: None,
        }),
    ))
}

/// Returns an order. `?currency=` adds the total in another currency.
pub fn show(Path(id): Path<i64>, Query(query): Query<ShowQuery>) -> Result<Json<Order>, Error> {
    let mut order = find(id)?;
    if let Some(currency) = query.currency {
        order.converted = Some(currency::convert(order.summary.total_cents, &currency)?);
    }
    Ok(Json(order))
}

/// Lists orders, the newest first. `?status=` filters the list.
pub fn list(Query(query): Query<ListQuery>) -> Result<Json<Page<OrderSummary>>, Error> {
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let before = page.after()?.unwrap_or(i64::MAX);
    let rows = match query.status {
        None => db::query_as(
            &format!("SELECT {COLUMNS} FROM orders WHERE id < $1 ORDER BY id DESC LIMIT $2"),
            (before, page.rows_to_read()),
        )?,
        Some(status) => db::query_as(
            &format!("SELECT {COLUMNS} FROM orders WHERE status = $3 AND id < $1 ORDER BY id DESC LIMIT $2"),
            (before, page.rows_to_read(), status),
        )?,
    };
    Ok(Json(page.page(rows, |order: &OrderSummary| order.id)))
}

/// Reads an order with its lines, or returns a 404.
pub fn find(id: i64) -> Result<Order, Error> {
    let sql = format!("SELECT {COLUMNS} FROM orders WHERE id = $1");
    let summary = db::query_optional(&sql, (id,))?.ok_or_else(|| unknown_order(id))?;
    let lines = db::query_as(
        "SELECT product_id, name, unit_price_cents, quantity, shipped, cancelled, refunded FROM order_lines
         WHERE order_id = $1 ORDER BY product_id",
        (id,),
    )?;
    Ok(Order {
        summary,
        lines,
        converted: None,
    })
}

/// Reads an order without its lines in a transaction, or returns a 404.
pub fn summary(transaction: &Transaction, id: i64) -> Result<OrderSummary, Error> {
    find_summary(transaction, id)?.ok_or_else(|| unknown_order(id))
}

/// Reads an order without its lines in a transaction, if there is one.
pub fn find_summary(transaction: &Transaction, id: i64) -> Result<Option<OrderSummary>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM orders WHERE id = $1");
    Ok(transaction.query_optional(&sql, (id,))?)
}

pub fn unknown_order(id: i64) -> Error {
    Error::not_found(format!("there is no order {id}")).with_code("unknown-order")
}

/// Merges lines of the same product and sorts them by product, so that all orders take stock in the
/// same order.
pub fn merge_lines(lines: Vec<NewLine>) -> Result<Vec<NewLine>, Error> {
    let mut merged: Vec<NewLine> = Vec::with_capacity(lines.len());
    for line in lines {
        match merged
            .iter_mut()
            .find(|other| other.product_id == line.product_id)
        {
            Some(other) => other.quantity = other.quantity.saturating_add(line.quantity),
            None => merged.push(line),
        }
    }
    if merged.is_empty() || merged.iter().any(|line| line.quantity == 0) {
        return Err(Error::unprocessable(
            "an order has at least one line, and a line at least one piece",
        ));
    }
    merged.sort_by_key(|line| line.product_id);
    Ok(merged)
}

fn total_cents(lines: &[OrderLine]) -> Option<i64> {
    lines.iter().try_fold(0_i64, |sum, line| {
        sum.checked_add(line.unit_price_cents.checked_mul(line.quantity)?)
    })
}

#[cfg(test)]
mod tests {
    use mortise_sdk::db;
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{host, order, place, product, stock};

    #[test]
    fn an_order_takes_stock_and_adds_up() {
        let host = host();
        let (chair, table) = (product("CHAIR", 4990, 5), product("TABLE", 19900, 2));
        let response = place(
            &host,
            json!([
                {"product_id": table, "quantity": 1},
                {"product_id": chair, "quantity": 2},
                {"product_id": chair, "quantity": 1},
            ]),
        );
        assert_eq!(
            (response.status(), response.header("location")),
            (201, Some("orders/1"))
        );
        let order = response.json::<Value>();
        assert_eq!(order["total_cents"], 3 * 4990 + 19900);
        assert_eq!(order["status"], "pending");
        assert_eq!(order["lines"][0]["quantity"], 3);
        assert_eq!((stock(chair), stock(table)), (2, 1));
    }

    #[test]
    fn an_order_is_published_and_a_rejected_one_is_not() {
        let host = host();
        let chair = product("CHAIR", 4990, 1);
        let id = order(&host, chair, 1);
        assert_eq!(
            place(&host, json!([{"product_id": chair, "quantity": 1}])).status(),
            409
        );
        let [event] = &host.events()[..] else {
            panic!("one event: {:?}", host.events());
        };
        assert_eq!(event.topic, "order.created");
        let data: Value = event.parse_data();
        assert_eq!(
            (&data["order_id"], &data["total_cents"]),
            (&json!(id), &json!(4990))
        );
    }

    #[test]
    fn of_two_buyers_of_the_last_item_one_gets_it() {
        let host = host();
        let last = product("LAST", 100, 1);
        assert_eq!(
            place(&host, json!([{"product_id": last, "quantity": 1}])).status(),
            201
        );
        let response = place(&host, json!([{"product_id": last, "quantity": 1}]));
        let problem = response.json::<Value>();
        assert_eq!(
            (response.status(), &problem["code"]),
            (409, &json!("out-of-stock"))
        );
        assert_eq!(problem["product_id"], last);
        assert_eq!(stock(last), 0);
    }

    #[test]
    fn an_order_beside_an_open_one_is_asked_to_come_back_and_takes_nothing() {
        let host = host();
        let last = product("LAST", 100, 1);
        let other_buyer = db::begin().expect("nothing else is open");
        other_buyer
            .execute("UPDATE products SET stock = stock - 1", ())
            .expect("one is there");
        let refused = place(&host, json!([{"product_id": last, "quantity": 1}]));
        assert_eq!(
            (refused.status(), refused.header("retry-after")),
            (503, Some("1"))
        );
        other_buyer.commit().expect("nothing hinders it");
        assert_eq!(
            place(&host, json!([{"product_id": last, "quantity": 1}])).status(),
            409
        );
    }

    #[test]
    fn an_order_that_cannot_be_filled_takes_nothing() {
        let host = host();
        let (many, few) = (product("MANY", 100, 10), product("FEW", 100, 1));
        let lines = json!([{"product_id": many, "quantity": 5}, {"product_id": few, "quantity": 2}]);
        assert_eq!(place(&host, lines).status(), 409);
        let lines = json!([{"product_id": many, "quantity": 5}, {"product_id": 99, "quantity": 1}]);
        assert_eq!(place(&host, lines).json::<Value>()["code"], "unknown-product");
        assert_eq!((stock(many), stock(few)), (10, 1));
        let page = host
            .request("GET", "/orders")
            .scopes(["orders:read"])
            .send(&APP)
            .json::<Value>();
        assert_eq!(page["items"], json!([]));
    }

    #[test]
    fn a_later_price_leaves_the_order_alone() {
        let host = host();
        let chair = product("CHAIR", 4990, 5);
        let id = order(&host, chair, 1);
        db::execute("UPDATE products SET price_cents = 1, name = 'Stool'", ()).expect("the table is there");
        let order = host
            .request("GET", &format!("/orders/{id}"))
            .scopes(["orders:read"])
            .send(&APP);
        assert_eq!(order.json::<Value>()["lines"][0]["unit_price_cents"], 4990);
        assert_eq!(order.json::<Value>()["total_cents"], 4990);
    }

    #[test]
    fn the_list_is_paged_newest_first_and_can_be_narrowed() {
        let host = host();
        let chair = product("CHAIR", 100, 100);
        let ids: Vec<i64> = (0..5).map(|_| order(&host, chair, 1)).collect();
        let get = |path: &str| {
            host.request("GET", path)
                .scopes(["orders:read"])
                .send(&APP)
                .json::<Value>()
        };
        let first = get("/orders?limit=3");
        let listed = |page: &Value| {
            page["items"]
                .as_array()
                .map(|items| items.iter().map(|o| o["id"].clone()).collect())
        };
        assert_eq!(
            listed(&first),
            Some(vec![json!(ids[4]), json!(ids[3]), json!(ids[2])])
        );
        let cursor = first["next_cursor"].as_str().expect("two more follow");
        let second = get(&format!("/orders?limit=3&cursor={cursor}"));
        assert_eq!(listed(&second), Some(vec![json!(ids[1]), json!(ids[0])]));
        assert_eq!(second.get("next_cursor"), None);
        db::execute(
            "UPDATE orders SET state = 'confirmed', payment_state = 'captured' WHERE id = $1",
            (ids[1],),
        )
        .expect("the order is there");
        assert_eq!(listed(&get("/orders?status=paid")), Some(vec![json!(ids[1])]));
    }

    #[test]
    fn reading_needs_the_scope_and_an_unknown_order_is_absent() {
        let host = host();
        assert_eq!(host.request("GET", "/orders/1").send(&APP).status(), 401);
        assert_eq!(
            host.request("GET", "/orders/1")
                .scopes(["orders:write"])
                .send(&APP)
                .status(),
            403
        );
        assert_eq!(
            host.request("GET", "/orders/1")
                .scopes(["orders:read"])
                .send(&APP)
                .status(),
            404
        );
        assert_eq!(
            host.request("GET", "/orders/x")
                .scopes(["orders:read"])
                .send(&APP)
                .status(),
            400
        );
    }
}
