//! Invoices. A number is given when the order is final, in the same transaction, so numbers have no
//! gaps. The database rejects a gap, a change and a deletion.

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::time;
use serde::{Deserialize, Serialize};

use crate::pagination::{Page, PageQuery};

#[derive(Debug, Serialize)]
pub struct Invoice {
    number: String,
    order_id: i64,
    total_cents: i64,
    issued_at: i64,
}

#[derive(Deserialize)]
struct Row {
    number: i64,
    order_id: i64,
    total_cents: i64,
    issued_at: i64,
}

/// Gives an order the next number. An order that has one keeps it.
pub fn issue(transaction: &Transaction, order: i64) -> Result<(), Error> {
    transaction.execute(
        "INSERT INTO invoices (number, order_id, total_cents, issued_at)
         SELECT (SELECT coalesce(max(number), 0) + 1 FROM invoices), id, total_cents, $2 FROM orders
         WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM invoices WHERE order_id = $1)",
        (order, time::now()),
    )?;
    Ok(())
}

/// The number as customers see it.
pub fn written(number: i64) -> String {
    format!("INV-{number:06}")
}

/// Returns the invoice of an order.
pub fn show(Path(order): Path<i64>) -> Result<Json<Invoice>, Error> {
    let row: Option<Row> = db::query_optional(
        "SELECT number, order_id, total_cents, issued_at FROM invoices WHERE order_id = $1",
        (order,),
    )?;
    let missing =
        || Error::not_found(format!("the order {order} has no invoice")).with_code("unknown-invoice");
    row.map(|row| Json(row.into())).ok_or_else(missing)
}

/// Lists the invoices, the newest first.
pub fn list(Query(query): Query<PageQuery>) -> Result<Json<Page<Invoice>>, Error> {
    let before = query.after()?.unwrap_or(i64::MAX);
    let rows: Vec<Row> = db::query_as(
        "SELECT number, order_id, total_cents, issued_at FROM invoices WHERE number < $1
         ORDER BY number DESC LIMIT $2",
        (before, query.rows_to_read()),
    )?;
    let Page { items, next_cursor } = query.page(rows, |row: &Row| row.number);
    Ok(Json(Page {
        items: items.into_iter().map(Invoice::from).collect(),
        next_cursor,
    }))
}

impl From<Row> for Invoice {
    fn from(row: Row) -> Self {
        Self {
            number: written(row.number),
            order_id: row.order_id,
            total_cents: row.total_cents,
            issued_at: row.issued_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use mortise_sdk::db;
    use serde_json::{Value, json};

    use crate::APP;
    use crate::testing::{host, order, pay, product};

    #[test]
    fn numbers_follow_the_payments_and_not_the_orders() {
        let host = host();
        let chair = product("CHAIR", 100, 10);
        let ids = [(); 3].map(|()| order(&host, chair, 1));
        pay(&host, "pi_2", ids[2], 100);
        pay(&host, "pi_0", ids[0], 100);
        pay(&host, "pi_2", ids[2], 100);
        let get = |path: &str| {
            let request = host.request("GET", path).scopes(["orders:read"]);
            request.send(&APP)
        };
        let invoice = get(&format!("/orders/{}/invoice", ids[0])).json::<Value>();
        assert_eq!(
            (&invoice["number"], &invoice["total_cents"]),
            (&json!("INV-000002"), &json!(100))
        );
        assert_eq!(get(&format!("/orders/{}/invoice", ids[1])).status(), 404);
        let listed = get("/invoices").json::<Value>();
        let numbers: Vec<_> = listed["items"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|invoice| &invoice["number"])
            .collect();
        assert_eq!(numbers, ["INV-000002", "INV-000001"]);
    }

    #[test]
    fn the_database_rejects_gaps_changes_and_deletions() {
        let host = host();
        let id = order(&host, product("CHAIR", 100, 1), 1);
        pay(&host, "pi_1", id, 100);
        for sql in [
            "INSERT INTO invoices VALUES (3, 9, 1, 1)",
            "UPDATE invoices SET total_cents = 1",
            "DELETE FROM invoices",
        ] {
            assert!(
                matches!(db::execute(sql, ()), Err(db::Error::Constraint { .. })),
                "{sql}"
            );
        }
    }
}
