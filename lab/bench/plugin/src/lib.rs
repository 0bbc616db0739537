//! The plugin of the benchmarks: JSON in and out, and each host call a given number of times. The
//! native server and the native handler of jobs do the same work.

use std::hint::black_box;
use std::time::Duration;

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

/// Adds a job and returns its id.
fn enqueue(Json(order): Json<Order>) -> Result<Json<String>, Error> {
    Ok(Json(jobs::enqueue("order", &order)?))
}

/// Adds `times` jobs in one transaction.
fn enqueue_many(Path(times): Path<u32>, Json(order): Json<Order>) -> Result<(), Error> {
    let transaction = db::begin()?;
    for _ in 0..times {
        transaction.enqueue("order", &order)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Parses and writes JSON.
fn handle_order(mut order: Order) -> Result<(), Error> {
    order.quantity += 1;
    black_box(serde_json::to_string(&order).map_err(|error| Error::internal(error.to_string()))?);
    Ok(())
}

/// Waits for some milliseconds.
fn wait(milliseconds: u64) -> Result<(), Error> {
    std::thread::sleep(Duration::from_millis(milliseconds));
    Ok(())
}

mortise_sdk::jobs! {
    "order" => handle_order,
    "wait" => wait,
}

mortise_sdk::routes! {
    POST "/enqueue" => enqueue,
    POST "/enqueue/{times}" => enqueue_many,
    POST "/orders" => order,
    GET "/rows/{id}" => row,
    POST "/calls/{call}/{times}" => calls,
}
