//! The shared code of the guests that run a list of host calls, as a request or as a job.
//!
//! The body of a request and the payload of a job are `{"do": [step, …]}`. A step is an object
//! whose first member names what to do. A step with `"attempts": [1, 2]` is only done in these
//! attempts of a job. A request answers the result of each step. A job whose step fails ends with
//! `retry`, unless the step has `"anyway": true`.

use test_guests::{Value, json, text};

use crate::contract::database::{self, Transaction, Value as Sql};
use crate::contract::{Body, Content, Request, Response, context, http_client, log};
use crate::own;

/// The running job.
pub struct Running {
    pub id: String,
    pub name: String,
    pub payload: String,
    pub origin: Value,
    pub attempt: u32,
    pub max_attempts: u32,
}

/// Why a job did not succeed.
pub enum Failed {
    Retry(String),
    RetryAfter(u64, String),
    Discard(String),
}

/// Answers a request.
pub fn handle(request: Request) -> Response {
    let program = match &request.body {
        Some(Content::Text(text)) => serde_json::from_str(text).expect("the tests send JSON"),
        _ => Value::Null,
    };
    let mut results = Vec::new();
    for step in steps(&program) {
        results.push(outcome(done(step, None, &results)));
    }
    Response {
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Body::Text(Value::Array(results).to_string()),
    }
}

/// Runs a job.
pub fn run(job: &Running) -> Result<(), Failed> {
    let program: Value = serde_json::from_str(&job.payload).unwrap_or_default();
    let mut results = Vec::new();
    for step in steps(&program) {
        let attempts = step["attempts"].as_array();
        if attempts.is_some_and(|attempts| !attempts.contains(&json!(job.attempt))) {
            continue;
        }
        if let Some(failed) = failure(&step["fail"]) {
            return Err(failed);
        }
        let result = done(step, Some(job), &results);
        if let (Err(error), None) = (&result, step["anyway"].as_bool()) {
            return Err(Failed::Retry(error.clone()));
        }
        results.push(outcome(result));
    }
    Ok(())
}

fn steps(program: &Value) -> &[Value] {
    program["do"].as_array().map_or(&[], Vec::as_slice)
}

/// `["retry", "why"]`, `["retry-after", 100, "why"]` or `["discard", "why"]`.
fn failure(wanted: &Value) -> Option<Failed> {
    let why = |index: usize| wanted[index].as_str().unwrap_or_default().to_owned();
    match wanted[0].as_str()? {
        "retry" => Some(Failed::Retry(why(1))),
        "retry-after" => Some(Failed::RetryAfter(wanted[1].as_u64().unwrap_or(0), why(2))),
        _ => Some(Failed::Discard(why(1))),
    }
}

/// Does one step.
fn done(step: &Value, job: Option<&Running>, results: &[Value]) -> Result<Value, String> {
    let (name, wanted) = named(step);
    match name {
        "enqueue" => own::enqueue(wanted).map(Value::from),
        "publish" => own::publish(text(wanted, "topic"), &payload(&wanted["payload"])),
        "execute" => {
            let rows = database::execute(wanted.as_str().unwrap_or_default(), &params(step, job));
            rows.map(Value::from).map_err(said)
        }
        "query" => {
            let rows = database::query(wanted.as_str().unwrap_or_default(), &params(step, job));
            rows.map(values).map_err(said)
        }
        "transaction" => transaction(step, job),
        "mail" => own::send_mail(wanted),
        "load-step" => own::load_step(wanted.as_str().unwrap_or_default()),
        "store-step" => own::store_step(text(wanted, "name"), text(wanted, "result")),
        // Adds the running job so many times again.
        "again" => {
            let job = job.ok_or("a request has no job")?;
            let copy = json!({ "name": job.name, "payload": job.payload });
            for _ in 0..wanted.as_u64().unwrap_or(1) {
                own::enqueue(&copy)?;
            }
            Ok(Value::Null)
        }
        // Writes the results so far into the table `reports`.
        "report" => {
            let [id, attempt] = [Sql::Text(id(job)), Sql::Integer(attempt(job))];
            let label = Sql::Text(wanted.as_str().unwrap_or_default().to_owned());
            let results = Sql::Text(Value::from(results).to_string());
            let sql = "INSERT INTO reports (job, attempt, label, results) VALUES ($1, $2, $3, $4)";
            database::execute(sql, &[id, attempt, label, results])
                .map(Value::from)
                .map_err(said)
        }
        "context" => {
            let current = context::current();
            Ok(json!({
                "id": current.id,
                "trigger": format!("{:?}", current.trigger),
                "traceparent": current.traceparent,
                "remaining_ms": context::remaining_ms(),
            }))
        }
        "job" => Ok(json!({
            "id": id(job),
            "name": job.map(|job| &job.name),
            "payload": job.map(|job| &job.payload),
            "origin": job.map(|job| &job.origin),
            "attempt": attempt(job),
            "max_attempts": job.map(|job| job.max_attempts),
        })),
        "get" => {
            let request = http_client::OutgoingRequest {
                method: "GET".to_owned(),
                url: wanted.as_str().unwrap_or_default().to_owned(),
                headers: Vec::new(),
                secret_headers: Vec::new(),
                body: None,
                timeout_ms: None,
                retry: None,
            };
            let response = http_client::send(&request);
            response
                .map(|response| json!(response.status))
                .map_err(|error| format!("{error:?}"))
        }
        "log" => {
            log::write(log::Level::Info, wanted.as_str().unwrap_or_default(), &[]);
            Ok(Value::Null)
        }
        "sleep-ms" => {
            let time = std::time::Duration::from_millis(wanted.as_u64().unwrap_or(0));
            std::thread::sleep(time);
            Ok(Value::Null)
        }
        "loop" => loop {
            std::hint::black_box(0);
        },
        "trap" => std::process::abort(),
        "panic" => panic!("{}", wanted.as_str().unwrap_or_default()),
        other => Err(format!("there is no step `{other}`")),
    }
}

/// Does all steps of `transaction` in one, and ends it as `end` says: by default it is committed,
/// unless a step failed.
fn transaction(step: &Value, job: Option<&Running>) -> Result<Value, String> {
    let transaction = database::begin().map_err(said)?;
    let mut results = Vec::new();
    for inner in step["transaction"].as_array().into_iter().flatten() {
        results.push(match inner["anyway"].as_bool() {
            Some(true) => outcome(done_in(&transaction, inner, job)),
            _ => done_in(&transaction, inner, job)?,
        });
    }
    match step["end"].as_str() {
        None => transaction.commit().map_err(said)?,
        Some("rollback") => transaction.rollback().map_err(said)?,
        Some("trap") => std::process::abort(),
        _ => drop(transaction),
    }
    Ok(json!(results))
}

fn done_in(transaction: &Transaction, step: &Value, job: Option<&Running>) -> Result<Value, String> {
    let (name, wanted) = named(step);
    let sql = wanted.as_str().unwrap_or_default();
    match name {
        "execute" => transaction
            .execute(sql, &params(step, job))
            .map(Value::from)
            .map_err(said),
        "query" => transaction
            .query(sql, &params(step, job))
            .map(values)
            .map_err(said),
        "enqueue" => own::enqueue_in(transaction, wanted).map(Value::from),
        "publish" => own::publish_in(transaction, text(wanted, "topic"), &payload(&wanted["payload"])),
        "complete" => own::complete(transaction),
        "store-step" => own::store_step_in(transaction, text(wanted, "name"), text(wanted, "result")),
        _ => done(step, job, &[]),
    }
}

/// The texts of a member that is one text, a list of texts, or absent.
pub fn texts(wanted: &Value, member: &str) -> Vec<String> {
    match &wanted[member] {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// The name of a step with its value: the first member that is no option.
fn named(step: &Value) -> (&str, &Value) {
    const OPTIONS: [&str; 4] = ["attempts", "anyway", "params", "end"];
    let members = step.as_object().into_iter().flatten();
    let mut named = members.filter(|(name, _)| !OPTIONS.contains(&name.as_str()));
    named
        .next()
        .map_or(("", &Value::Null), |(name, value)| (name.as_str(), value))
}

/// A payload: text as it is, anything else as JSON.
pub fn payload(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "{}".to_owned(),
        value => value.to_string(),
    }
}

/// The parameters of a statement. `$job`, `$attempt` and `$origin` stand for those of the job.
fn params(step: &Value, job: Option<&Running>) -> Vec<Sql> {
    let values = step["params"].as_array().into_iter().flatten();
    let param = |value: &Value| match value {
        Value::String(text) => match text.as_str() {
            "$job" => Sql::Text(id(job)),
            "$attempt" => Sql::Integer(attempt(job)),
            "$origin" => Sql::Text(job.map(|job| job.origin.to_string()).unwrap_or_default()),
            text => Sql::Text(text.to_owned()),
        },
        Value::Number(number) => Sql::Integer(number.as_i64().unwrap_or(0)),
        Value::Null => Sql::Null,
        other => Sql::Text(other.to_string()),
    };
    values.map(param).collect()
}

fn id(job: Option<&Running>) -> String {
    job.map(|job| job.id.clone()).unwrap_or_default()
}

fn attempt(job: Option<&Running>) -> i64 {
    job.map_or(0, |job| job.attempt.into())
}

fn values(rows: database::Rows) -> Value {
    let plain = |value: &Sql| match value {
        Sql::Null => json!(null),
        Sql::Boolean(value) => json!(value),
        Sql::Integer(value) => json!(value),
        Sql::Real(value) => json!(value),
        Sql::Text(value) => json!(value),
        Sql::Blob(value) => json!(value),
    };
    let rows = rows.rows.iter();
    rows.map(|row| row.iter().map(plain).collect::<Value>()).collect()
}

/// The text of an error.
pub fn said<E: std::fmt::Debug>(error: E) -> String {
    format!("{error:?}")
}

fn outcome(result: Result<Value, String>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error }),
    }
}
