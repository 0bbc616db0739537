//! What the benchmarks run: JSON in and out, and each host call a given number of times. The native server does the same.

use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Order {
    product: String,
    quantity: u32,
    note: String,
}

#[derive(Serialize)]
struct Row {
    id: i64,
    body: String,
}

/// JSON in, JSON out.
fn order(Json(mut order): Json<Order>) -> Json<Order> {
    order.quantity += 1;
    Json(order)
}

/// One row by its key.
fn row(Path(id): Path<i64>) -> Result<Json<Row>, Error> {
    let (id, body) = db::query_one("SELECT id, body FROM notes WHERE id = $1", (id,))?;
    Ok(Json(Row { id, body }))
}

mortise_sdk::routes! {
    POST "/orders" => order,
    GET "/rows/{id}" => row,
}
