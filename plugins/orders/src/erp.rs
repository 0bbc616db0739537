//! Sends orders to the shop's ERP.
//!
//! The setting `erp_url` is the URL that takes orders, such as `https://erp.example.com/orders`;
//! its origin must be granted. Without the setting nothing is sent. If the tenant has set the
//! secret `erp_key`, requests carry it as a bearer token. The body is the order as the shop's API
//! shows it.
//!
//! Each change of an order is sent by a job that is added in the transaction of the change, so that
//! none is forgotten. The job sends the order as it is when the job runs; `revision` counts its
//! changes. Of an order one job runs at a time. A job may run more than once: the header
//! `idempotency-key` lets the ERP tell a repeated revision from a new one.

use std::time::Duration;

use mortise_sdk::db::Transaction;
use mortise_sdk::prelude::*;
use mortise_sdk::{log, time};
use serde::{Deserialize, Serialize};

use crate::{orders, secret};

const URL: &str = "erp_url";
const KEY: &str = "erp_key";
const TIMEOUT: Duration = Duration::from_secs(15);
/// The longest wait that the ERP may ask for.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// The payload of the job. Jobs of earlier versions have no revision.
#[derive(Deserialize, Serialize)]
pub struct SyncOrder {
    order_id: i64,
    #[serde(default = "first_revision")]
    revision: i64,
}

fn first_revision() -> i64 {
    1
}

/// Adds the job that sends an order, if the shop has an ERP.
pub fn send_later(transaction: &Transaction, order_id: i64, revision: i64) -> Result<(), Error> {
    if config::get(URL).is_some() {
        NewJob::new("sync-erp")
            .payload(&SyncOrder { order_id, revision })
            .unique_key(format!("order-{order_id}-{revision}"))
            .concurrency_key(format!("order-{order_id}"))
            .enqueue_in(transaction)?;
    }
    Ok(())
}

/// The job: sends an order and notes which revision the ERP has.
pub fn sync(payload: SyncOrder, job: &Job) -> Result<(), JobError> {
    let id = payload.order_id;
    let order = match orders::find(id) {
        Err(error) if error.status() == 404 => return Err(JobError::discard(error.detail())),
        order => order?,
    };
    if order.summary.synced_revision >= payload.revision {
        return Ok(());
    }
    let revision = order.summary.revision;
    let key = match revision {
        1 => format!("order-{id}"),
        later => format!("order-{id}-r{later}"),
    };
    let request = http::post(config::require(URL)?)
        .header("idempotency-key", key)
        .json(&order)
        .timeout(TIMEOUT);
    let request = match secret::is_set(KEY)? {
        true => request.secret_header("authorization", "Bearer ", KEY),
        false => request,
    };
    check(&request.send()?)?;
    db::transaction(|transaction| {
        transaction.execute(
            "UPDATE orders SET synced_at = $2, synced_revision = max(synced_revision, $3) WHERE id = $1",
            (id, time::now(), revision),
        )?;
        transaction.complete()
    })?;
    log::info(
        "The ERP has the order",
        &[
            ("order_id", &id),
            ("revision", &revision),
            ("attempt", &job.attempt),
        ],
    );
    Ok(())
}

/// Decides what the answer of the ERP means for the job.
fn check(response: &http::Response) -> Result<(), JobError> {
    let status = response.status();
    let said = format!("the ERP answered {status}");
    match status {
        200..=299 => Ok(()),
        429 | 503 => {
            let wait = response.header("retry-after");
            match wait.and_then(|seconds| seconds.parse().ok()) {
                Some(seconds) => {
                    let wait = Duration::from_secs(seconds).min(MAX_WAIT);
                    Err(JobError::retry_after(wait, said))
                }
                None => Err(JobError::retry(said)),
            }
        }
        // The same order would be rejected again: a person has to look at it.
        400..=499 if !matches!(status, 408 | 409 | 425) => Err(JobError::discard(said)),
        _ => Err(JobError::retry(said)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;

    use mortise_sdk::http::{self, Message};
    use mortise_sdk::testing::{Attempt, Host, HostBuilder, Outcome};
    use mortise_sdk::{db, time};
    use serde_json::{Value, json};

    use crate::JOBS;
    use crate::testing::{builder, order, pay, place, product};

    const ERP: &str = "https://erp.example.com/orders";

    type Answer = Result<http::Response, http::Error>;

    /// A host whose ERP gives these answers, the last of them again and again, and the requests
    /// that it got.
    fn with_erp(builder: HostBuilder, answers: Vec<Answer>) -> (Host, Rc<RefCell<Vec<Message>>>) {
        let got = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&got);
        let answer = move |request: &Message| {
            let mut got = kept.borrow_mut();
            got.push(request.clone());
            answers[(got.len() - 1).min(answers.len() - 1)].clone()
        };
        (builder.config("erp_url", ERP).http(answer).start(), got)
    }

    fn erp(answers: Vec<Answer>) -> (Host, Rc<RefCell<Vec<Message>>>) {
        with_erp(builder(), answers)
    }

    /// Runs what is due, and returns the attempts of the ERP's job.
    fn run(host: &Host) -> Vec<Attempt> {
        let attempts = host.run_jobs(&JOBS).into_iter();
        attempts.filter(|attempt| attempt.name == "sync-erp").collect()
    }

    fn status(status: u16) -> Answer {
        Ok(http::Response::new(status))
    }

    fn synced_at(id: i64) -> Option<i64> {
        db::query_one("SELECT synced_at FROM orders WHERE id = $1", (id,)).expect("the order is there")
    }

    fn header<'a>(request: &'a Message, name: &str) -> Option<&'a str> {
        let mut headers = request.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn an_order_is_sent_with_its_idempotency_key_and_marked() {
        let (host, got) = with_erp(builder().secret("erp_key", "s3cret"), vec![status(201)]);
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        assert_eq!(synced_at(id), None);
        let attempts = run(&host);
        assert_eq!((attempts.len(), attempts[0].outcome), (1, Outcome::Done));
        assert_eq!(synced_at(id), Some(time::now()));
        let request = &got.borrow()[0];
        assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", ERP));
        assert_eq!(
            header(request, "idempotency-key"),
            Some(format!("order-{id}").as_str())
        );
        assert_eq!(request.secret_headers[0].2, "erp_key");
        let sent: Value = serde_json::from_slice(request.body.as_ref().expect("a body").as_bytes())
            .expect("the body is JSON");
        assert_eq!((&sent["id"], &sent["total_cents"]), (&json!(id), &json!(4990)));
    }

    #[test]
    fn an_erp_that_is_down_gets_the_order_later_with_the_same_key() {
        let (host, got) = erp(vec![
            Err(http::Error::Connect("refused".into())),
            status(503),
            status(200),
        ]);
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        for (wait, outcome) in [(0, Outcome::Retry), (2, Outcome::Retry), (4, Outcome::Done)] {
            host.advance(Duration::from_secs(wait));
            assert_eq!(run(&host)[0].outcome, outcome);
        }
        assert!(synced_at(id).is_some());
        let got = got.borrow();
        let keys: Vec<_> = got
            .iter()
            .map(|request| header(request, "idempotency-key"))
            .collect();
        assert_eq!(keys, [keys[0]; 3]);
        assert!(got[0].secret_headers.is_empty());
    }

    #[test]
    fn the_erp_says_when_to_come_back() {
        let busy = http::Response::new(429).with_header("retry-after", "90");
        let (host, _) = erp(vec![Ok(busy), status(200)]);
        order(&host, product("CHAIR", 4990, 1), 1);
        host.run_jobs(&JOBS);
        let jobs = host.jobs();
        let job = jobs.iter().find(|job| job.name == "sync-erp").expect("it waits");
        assert_eq!(job.run_at - time::now(), 90_000);
    }

    #[test]
    fn an_order_that_the_erp_rejects_is_a_dead_letter() {
        let (host, _) = erp(vec![status(422)]);
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        assert_eq!(run(&host)[0].outcome, Outcome::Dead);
        let dead = &host.dead_letters()[0];
        assert_eq!(
            (dead.attempt, dead.error.as_deref()),
            (1, Some("the ERP answered 422"))
        );
        assert_eq!(synced_at(id), None);
    }

    #[test]
    fn an_order_that_cannot_be_placed_is_not_sent() {
        let (host, _) = erp(vec![status(200)]);
        let refused = place(
            &host,
            json!([{"product_id": product("CHAIR", 4990, 1), "quantity": 2}]),
        );
        assert_eq!(refused.status(), 409);
        assert!(host.jobs().is_empty());
    }

    #[test]
    fn a_shop_without_an_erp_sends_nothing() {
        let host = builder().start();
        order(&host, product("CHAIR", 4990, 1), 1);
        assert!(host.jobs().iter().all(|job| job.name != "sync-erp"));
    }

    #[test]
    fn each_change_is_sent_with_a_key_of_its_own_and_the_newest_state() {
        let (host, got) = erp(vec![status(200)]);
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        run(&host);
        pay(&host, "pi_1", id, 4990);
        run(&host);
        let got = got.borrow();
        let keys: Vec<_> = got
            .iter()
            .map(|request| header(request, "idempotency-key"))
            .collect();
        assert_eq!(keys, [Some("order-1"), Some("order-1-r2")]);
        let sent: Value = serde_json::from_slice(got[1].body.as_ref().expect("a body").as_bytes())
            .expect("the body is JSON");
        assert_eq!(
            (&sent["state"], &sent["revision"]),
            (&json!("confirmed"), &json!(2))
        );
    }

    #[test]
    fn an_erp_that_comes_back_gets_the_newest_state_once() {
        let (host, got) = erp(vec![status(503), status(503), status(200)]);
        let id = order(&host, product("CHAIR", 4990, 1), 1);
        run(&host);
        pay(&host, "pi_1", id, 4990);
        run(&host);
        host.advance(Duration::from_secs(60));
        run(&host);
        assert_eq!(got.borrow().len(), 3, "both jobs were tried, and one had it");
        assert!(host.jobs().iter().all(|job| job.name != "sync-erp"));
    }
}
