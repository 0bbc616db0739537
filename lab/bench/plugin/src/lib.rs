//! The plugin of the benchmarks: JSON in and out, and each host call a given number of times. The
//! native server does the same work.

use mortise_sdk::log;
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

/// Parses and returns JSON.
fn order(Json(mut order): Json<Order>) -> Json<Order> {
    order.quantity += 1;
    Json(order)
}

/// Reads one row by its key.
fn row(Path(id): Path<i64>) -> Result<Json<Row>, Error> {
    let (id, body) = db::query_one("SELECT id, body FROM notes WHERE id = $1", (id,))?;
    Ok(Json(Row { id, body }))
}

/// Makes one kind of host call `times` times.
fn calls(Path((call, times)): Path<(String, u32)>) -> Result<(), Error> {
    for _ in 0..times {
        match call.as_str() {
            "log" => log::info("order placed", &[("order_id", &7)]),
            "config" => {
                config::require("colour")?;
            }
            "cache-get" => {
                cache::get_text("greeting")?;
            }
            "cache-set" => cache::set("greeting", "good morning", None)?,
            "select" => {
                db::query_one::<(i64, String)>("SELECT id, body FROM notes WHERE id = $1", (7,))?;
            }
            "transaction" => two_statements()?,
            _ => return Err(Error::not_found("there is no such call")),
        }
    }
    Ok(())
}

fn two_statements() -> Result<(), Error> {
    let transaction = db::begin()?;
    transaction.execute("UPDATE notes SET body = $2 WHERE id = $1", (7, "changed"))?;
    transaction.execute("UPDATE notes SET body = $2 WHERE id = $1", (8, "changed"))?;
    transaction.commit()?;
    Ok(())
}

mortise_sdk::routes! {
    POST "/orders" => order,
    GET "/rows/{id}" => row,
    POST "/calls/{call}/{times}" => calls,
}
