//! The end of reservations: an order that is not paid in time is cancelled, and its stock can be
//! sold again.
//!
//! Each order has a delayed job. A schedule adds the jobs again for orders that are overdue, so an
//! order expires even if its job was cancelled.

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::mail::{self, Mail};
use crate::{products, states, stock};

/// The setting for how long an order holds its stock.
const MINUTES: &str = "reservation_minutes";
const DEFAULT_MINUTES: i64 = 30;
const MAX_MINUTES: i64 = 7 * 24 * 60;

/// The overdue orders that one run of the schedule handles.
const BATCH: u32 = 90;

/// How long an order is overdue before the schedule handles it.
const GRACE_MS: i64 = 60_000;

/// The payload of the job.
#[derive(Deserialize, Serialize)]
pub struct ExpireOrder {
    order_id: i64,
}

/// When the reservation of an order that is placed now ends.
pub fn expires_at() -> Result<i64, Error> {
    let minutes = match config::get(MINUTES) {
        None => DEFAULT_MINUTES,
        Some(text) => text.parse().map_err(|_| {
            Error::internal(format!(
                "the setting `{MINUTES}` is `{text}` and no number of minutes"
            ))
        })?,
    };
    Ok(time::now() + minutes.clamp(1, MAX_MINUTES) * 60_000)
}

/// Adds the job that ends the reservation of an order.
pub fn expire_later(transaction: &Transaction, order: i64, at: i64) -> Result<(), Error> {
    NewJob::new("expire-order")
        .payload(&ExpireOrder { order_id: order })
        .at(at)
        .unique_key(format!("order-{order}"))
        .enqueue_in(transaction)?;
    Ok(())
}

/// The job: cancels an order that is not paid in time. A payment that the provider has authorized
/// keeps its order.
pub fn expire(payload: ExpireOrder) -> Result<(), JobError> {
    let order = payload.order_id;
    let is_expired = db::transaction(|transaction| {
        // The condition is part of the update: a payment comes before or after it, not in between.
        let changed = transaction.execute(
            "UPDATE orders SET state = 'cancelled', cancel_reason = 'expired', expires_at = NULL
             WHERE id = $1 AND state = 'placed' AND expires_at <= $2
               AND payment_state IN ('pending', 'requires_action', 'failed')",
            (order, time::now()),
        )?;
        if changed > 0 {
            stock::release(transaction, order)?;
            states::changed(transaction, order, "order.cancelled")?;
            mail::send_later(transaction, order, Mail::Cancelled)?;
        }
        transaction.complete()?;
        Ok::<_, JobError>(changed > 0)
    })?;
    if is_expired {
        products::forget_first_page();
        log::info("Order expired", &[("order_id", &order)]);
    }
    Ok(())
}

/// The job of the schedule: adds the jobs of overdue orders again.
pub fn sweep(_: ()) -> Result<(), JobError> {
    db::transaction(|transaction| {
        let overdue: Vec<(i64, i64)> = transaction.query_as(
            "SELECT id, expires_at FROM orders
             WHERE state = 'placed' AND expires_at IS NOT NULL AND expires_at < $1
               AND payment_state IN ('pending', 'requires_action', 'failed')
             ORDER BY expires_at LIMIT $2",
            (time::now() - GRACE_MS, BATCH),
        )?;
        for (order, at) in overdue {
            expire_later(transaction, order, at)?;
        }
        transaction.complete()?;
        Ok::<_, JobError>(())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mortise_sdk::db;
    use serde_json::{Value, json};

    use crate::JOBS;
    use crate::testing::{
        builder, check_invariants, host, initial_stock, order, pay, place, product, show, stock,
    };

    const HALF_HOUR: Duration = Duration::from_secs(30 * 60);

    #[test]
    fn an_order_that_is_not_paid_gives_its_stock_back() {
        let host = host();
        let chair = product("CHAIR", 100, 5);
        let id = order(&host, chair, 3);
        host.run_jobs(&JOBS);
        host.advance(HALF_HOUR - Duration::from_millis(1));
        host.run_jobs(&JOBS);
        assert_eq!((show(id)["state"].clone(), stock(chair)), (json!("placed"), 2));
        host.advance(Duration::from_millis(1));
        host.run_jobs(&JOBS);
        let expired = show(id);
        assert_eq!(
            (&expired["state"], &expired["cancel_reason"], &expired["status"]),
            (&json!("cancelled"), &json!("expired"), &json!("cancelled"))
        );
        assert_eq!(stock(chair), 5);
        check_invariants(&[(chair, 5)]);
    }

    #[test]
    fn an_order_that_is_paid_does_not_expire() {
        let host = host();
        let chair = product("CHAIR", 100, 5);
        let id = order(&host, chair, 3);
        assert_eq!(pay(&host, "pi_1", id, 300), "confirmed");
        host.advance(HALF_HOUR);
        host.run_jobs(&JOBS);
        assert_eq!((show(id)["state"].clone(), stock(chair)), (json!("confirmed"), 2));
        check_invariants(&[(chair, 5)]);
    }

    #[test]
    fn a_payment_after_the_end_takes_the_stock_again() {
        let host = host();
        let chair = product("CHAIR", 100, 3);
        let id = order(&host, chair, 3);
        host.advance(HALF_HOUR);
        host.run_jobs(&JOBS);
        assert_eq!(pay(&host, "pi_1", id, 300), "confirmed");
        let order = show(id);
        assert_eq!(
            (&order["state"], &order["payment_state"]),
            (&json!("confirmed"), &json!("captured"))
        );
        assert_eq!(stock(chair), 0);
        check_invariants(&[(chair, 3)]);
    }

    #[test]
    fn a_payment_after_the_end_is_refunded_if_the_stock_is_sold() {
        let host = host();
        let chair = product("CHAIR", 100, 3);
        let late = order(&host, chair, 3);
        host.advance(HALF_HOUR);
        host.run_jobs(&JOBS);
        let other = order(&host, chair, 3);
        assert_eq!(pay(&host, "pi_late", late, 300), "refunded");
        assert_eq!(pay(&host, "pi_other", other, 300), "confirmed");
        let refunds: Vec<String> = db::query_as("SELECT state FROM refunds", ()).expect("the table is there");
        assert_eq!(refunds, ["requested"]);
        assert!(host.jobs().iter().any(|job| job.name == "refund"));
        check_invariants(&[(chair, 3)]);
    }

    #[test]
    fn a_late_payment_for_stock_that_is_there_in_part_waits_for_a_person() {
        let host = host();
        let (chair, table) = (product("CHAIR", 100, 1), product("TABLE", 500, 1));
        let lines = json!([{"product_id": chair, "quantity": 1}, {"product_id": table, "quantity": 1}]);
        let late = place(&host, lines).json::<Value>()["id"].as_i64().expect("an id");
        host.advance(HALF_HOUR);
        host.run_jobs(&JOBS);
        order(&host, table, 1);
        assert_eq!(pay(&host, "pi_late", late, 600), "review");
        let order = show(late);
        assert_eq!(
            (&order["state"], &order["status"], &order["payment_state"]),
            (&json!("review"), &json!("paid"), &json!("captured"))
        );
        check_invariants(&[(chair, 1), (table, 1)]);
    }

    #[test]
    fn the_schedule_adds_no_second_job_of_an_order() {
        let host = host();
        let chair = product("CHAIR", 100, 1);
        let id = order(&host, chair, 1);
        db::execute("UPDATE orders SET expires_at = expires_at - 1500000", ()).expect("the order is there");
        host.advance(Duration::from_secs(20 * 60));
        host.run_jobs(&JOBS);
        // Its own job is still there, so the schedule adds no other one.
        assert_eq!(
            host.jobs()
                .iter()
                .filter(|job| job.name == "expire-order")
                .count(),
            1
        );
        host.advance(Duration::from_secs(10 * 60));
        host.run_jobs(&JOBS);
        assert_eq!(show(id)["cancel_reason"], "expired");
        assert_eq!(initial_stock(chair), 1);
    }

    #[test]
    fn the_shop_decides_how_long_a_reservation_holds() {
        let host = builder().config("reservation_minutes", "5").start();
        let id = order(&host, product("CHAIR", 100, 1), 1);
        host.advance(Duration::from_secs(5 * 60));
        host.run_jobs(&JOBS);
        assert_eq!(show(id)["state"], "cancelled");
    }
}
