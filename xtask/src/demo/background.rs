//! Shows work outside of requests: a job that is retried, a dead letter that is replayed, and the
//! next runs of a schedule.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::erp::{Erp, REJECTED};
use super::mortise::Mortise;
use super::options::Options;
use super::{TENANT, http};
use crate::steps::{Result, now, say};

/// How long a job may take.
const MOST: Duration = Duration::from_secs(60);

const POLL: Duration = Duration::from_millis(50);

/// Places two orders and follows the jobs that send them to the ERP.
pub fn show(mortise: &Mortise, options: &Options, erp: &Erp, key: &str, product: i64) -> Result<()> {
    // Each start of the demo sells two.
    let path = format!("/{TENANT}/orders/products/{product}");
    call(options, "PATCH", &path, key, &json!({ "stock_delta": 2 }), 200)?;

    let sent = order(mortise, options, key, product, "ada@example.com")?;
    let rejected = order(mortise, options, key, product, REJECTED)?;
    let sent = until(mortise, &sent, "done")?;
    say(&told(
        "The ERP was busy, so the job of the first order was retried:",
        &sent,
    ));
    let rejected = until(mortise, &rejected, "dead")?;
    say(&told(
        "The ERP rejected the second order, so its job is a dead letter:",
        &rejected,
    ));

    erp.repair();
    let id = text(&rejected, "id");
    mortise.run(&["jobs", "retry", &id, "--tenant", TENANT])?;
    let replayed = until(mortise, &id, "done")?;
    say(&told(
        &format!("The ERP is repaired, and `mortise jobs retry {id} --tenant {TENANT}` replays it:"),
        &replayed,
    ));
    for schedule in mortise.list(&["schedules", "list", "--tenant", TENANT])? {
        let runs = schedule["next_runs"].as_array().into_iter().flatten();
        let runs: Vec<&str> = runs.filter_map(Value::as_str).take(3).collect();
        say(&format!(
            "The schedule `{}` ({} {}) runs next at {}\n",
            text(&schedule, "name"),
            text(&schedule, "cron"),
            text(&schedule, "zone"),
            runs.join(", ")
        ));
    }
    Ok(())
}

/// Places an order, and returns the id of the job that sends it.
fn order(mortise: &Mortise, options: &Options, key: &str, product: i64, customer: &str) -> Result<String> {
    let before = newest(mortise)?;
    let body = json!({
        "customer_email": customer, "lines": [{ "product_id": product, "quantity": 1 }],
    });
    call(
        options,
        "POST",
        &format!("/{TENANT}/orders/orders"),
        key,
        &body,
        201,
    )?;
    eventually("the job of an order", || {
        Ok(newest(mortise)?.filter(|newest| before.as_ref() != Some(newest)))
    })
}

/// The id of the newest job that sends an order.
pub fn newest(mortise: &Mortise) -> Result<Option<String>> {
    let list = [
        "jobs", "list", "--tenant", TENANT, "--job", "sync-erp", "--limit", "1",
    ];
    let jobs = mortise.list(&list)?;
    Ok(jobs.first().map(|job| text(job, "id")))
}

/// Waits until a job is in this state.
pub fn until(mortise: &Mortise, id: &str, state: &str) -> Result<Value> {
    eventually(&format!("the job {id} in the state `{state}`"), || {
        let job = mortise.json(&["jobs", "show", id, "--tenant", TENANT])?;
        Ok((job["state"] == state).then_some(job))
    })
}

pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begin = now();
    while begin.elapsed() < MOST {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        std::thread::sleep(POLL);
    }
    Err(format!("{what} did not come within {} s", MOST.as_secs()))
}

/// A job with its attempts, after a title.
pub fn told(title: &str, job: &Value) -> String {
    let mut told = format!("{title}\n");
    for attempt in job["attempts"].as_array().into_iter().flatten() {
        let error = attempt["error"].as_str().map(|error| format!(": {error}"));
        // Writing to a string does not fail.
        let _ = writeln!(
            told,
            "  attempt {} of {}: {}{}",
            attempt["number"],
            job["max_attempts"],
            text(attempt, "outcome"),
            error.unwrap_or_default()
        );
    }
    told
}

pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

/// Calls the shop, which must answer with this status. Returns the body of the answer.
pub fn call(
    options: &Options,
    method: &str,
    path: &str,
    key: &str,
    body: &Value,
    status: u16,
) -> Result<Value> {
    let text = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let response = http::request(options.public, method, path, Some(key), &text)?;
    if response.status != status {
        return Err(format!(
            "{method} {path} answered {}: {}",
            response.status, response.body
        ));
    }
    serde_json::from_str(&response.body).map_err(|error| format!("{method} {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_is_a_line() {
        let job = json!({
            "max_attempts": 10,
            "attempts": [
                { "number": 1, "outcome": "retry", "error": "the ERP answered 503" },
                { "number": 2, "outcome": "done" },
            ],
        });
        assert_eq!(
            told("So it was:", &job),
            "So it was:\n  attempt 1 of 10: retry: the ERP answered 503\n  attempt 2 of 10: done\n"
        );
    }
}
