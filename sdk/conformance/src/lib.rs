//! The plugin that the cases of `cases.toml` call. Each route shows what one part of the SDK
//! answers.
//!
//! The cases run against the test host (`tests/test_host.rs`) and against a host
//! (`tests/it/conformance.rs`), so that a plugin's own tests tell the truth.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::hint::black_box;
use std::time::Duration;

use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mortise_sdk::routes! {
    GET "/secrets/{use}/{name}" => secret,
    GET "/config/{key}" => setting,
    GET "/cache" => cached,
    GET "/outbound/{secret}" => outbound,
    GET "/context" => invocation,
    GET "/scopes/held" => held,
    GET "/scopes/needed" => || "allowed",
    GET "/problems/{kind}" => problem,
    GET "/fields" => response_fields,
    GET "/cookies" => |cookies: Cookies, headers: Headers| {
        Json(json!({ "b": cookies.get("b"), "field": headers.get("cookie") }))
    },
    GET "/query" => |Query(search): Query<Search>| Json(search),
    GET "/path/{id}/{on}" => |Path((id, on)): Path<(i64, bool)>| Json(json!([id, on])),
    POST "/numbers" => |Json(numbers): Json<Numbers>| Json(numbers),
    POST "/checked" => |Json(checked): Json<Checked>| Json(checked),
    GET "/unchecked/{status}" => |Path(status): Path<u16>| (Status(status), Json("no object")),
    GET "/booleans" => booleans,
    GET "/statements/{count}" => statements,
    GET "/print/{how}" => print,
    GET "/jobs/{what}" => |Path(what): Path<String>| Json(outcome(job(&what).enqueue(), job_error)),
    GET "/jobs/in-transaction/{what}" => job_in_transaction,
    GET "/events/{topic}" => event,
    GET "/events/in-transaction/{topic}" => event_in_transaction,
    GET "/mail/{what}" => |Path(what): Path<String>| Json(outcome(mail(&what).send(), mail_error)),
    GET "/steps" => outside_of_a_job,
}

mortise_sdk::functions! {
    "double" => double,
    "keyed" => |number: i64| Ok(number),
}

mortise_sdk::jobs! {
    "bound" => |_: ()| Ok::<_, JobError>(()),
    "free" => |_: ()| Ok::<_, JobError>(()),
}

/// What becomes of it is for a host's tests alone (`tests/it/printing.rs`): the test host's tests
/// print where every test prints.
#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a host makes of it is what a test asks"
)]
fn print(Path(how): Path<String>) -> &'static str {
    match how.as_str() {
        "open" => {
            print!("no line feed");
            eprint!("nor here");
        }
        "lines" => {
            println!("one\n  two");
            eprint!("pieces of {}", black_box(1));
            eprintln!(" and {}", black_box(2));
        }
        "panic" => {
            print!("before");
            panic!("no stock of {}\n  at all", black_box(7));
        }
        _ => {}
    }
    "answered"
}

fn secret(Path((usage, name)): Path<(String, String)>) -> Json<Value> {
    let outcome = match usage.as_str() {
        "reveal" => secrets::reveal(&name),
        _ => secrets::hmac_sha256(&name, b"data").map(|digest| digest.len().to_string()),
    };
    let (not_granted, not_found) = (
        secrets::Error::NotGranted(name.clone()),
        secrets::Error::NotFound(name),
    );
    Json(match outcome {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({
            "not-granted": error == not_granted,
            "not-found": error == not_found,
            "says": error.to_string(),
        }),
    })
}

fn setting(Path(key): Path<String>) -> Json<Value> {
    let number = config::get_as::<u32>(&key).map_err(|error| error.to_string());
    let required = config::require(&key).map_err(|error| error.to_string());
    Json(json!({ "text": config::get(&key), "number": number, "required": required }))
}

fn cached() -> Result<Json<Value>, cache::Error> {
    let said = |error: cache::Error| error.to_string();
    let minute = Duration::from_secs(60);
    cache::set("text", "no number", minute)?;
    cache::delete("count")?;
    Ok(Json(json!({
        "absent": cache::get_text("nowhere")?,
        "text": cache::get_text("text")?,
        "first": cache::set_if_absent("text", "other", None)?,
        "count": [cache::increment("count", 2, minute)?, cache::increment("count", -5, None)?],
        "increment of text": cache::increment("text", 1, None).map_err(said),
        "increment too far": cache::increment("count", i64::MIN, None).map_err(said),
        "too large": cache::set("large", vec![0; 1024 * 1024], None).map_err(said),
        "json of another shape": cache::get_json::<Vec<u8>>("text")?,
    })))
}

/// Only what is refused before anything is sent.
fn outbound(Path(secret): Path<String>) -> Json<Value> {
    let url = match secret.as_str() {
        "none" => "https://elsewhere.example.com/",
        _ => "https://api.example.com/",
    };
    let sent = http::get(url)
        .secret_header("authorization", "Bearer ", &secret)
        .send();
    Json(json!({ "denied": matches!(sent, Err(http::Error::Denied(_))) }))
}

fn invocation(context: Context, principal: Option<Principal>) -> Json<Value> {
    Json(json!({
        "plugin": context.plugin,
        "version": context.version,
        "principal": principal.is_some() || context.principal.is_some(),
    }))
}

fn held(principal: Principal) -> Json<Value> {
    let asked = ["tickets", "agents", "*"];
    Json(json!({
        "kind": principal.kind,
        "holds": asked.map(|scope| principal.has_scope(scope)),
        "claims": principal.claims,
    }))
}

fn problem(Path(kind): Path<String>) -> Result<(), Error> {
    let conflict = || Error::conflict("the last one is gone").with_code("out-of-stock");
    Err(match kind.as_str() {
        "fields" => conflict().with_field("left", 1).with_field("left", 0),
        "own" => conflict().with_field("status", 200).with_field("detail", "other"),
        "type" => conflict()
            .with_field("type", "https://shop.example/sold-out")
            .with_field("title", "Sold out"),
        "header" => Error::unavailable("later")
            .with_header("retry-after", "30")
            .with_header("Retry-After", "7"),
        "cause" => config::Error::Missing("nowhere".to_owned()).into(),
        _ => Error::new(200, "odd", "a status that is no error"),
    })
}

fn response_fields() -> impl IntoResponse {
    let inner = (
        [
            ("set-cookie", "a=1"),
            ("link", "<a>"),
            ("cache-control", "max-age=60"),
        ],
        Json(1),
    );
    let outer = (
        [
            ("set-cookie", "b=2"),
            ("Set-Cookie", "c=3"),
            ("vary", "accept"),
            ("vary", "origin"),
        ],
        inner,
    );
    let last = [
        ("link", "<b>"),
        ("cache-control", "no-store"),
        ("content-type", "application/vnd.shop+json"),
    ];
    (Status::CREATED, last, outer)
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Search {
    limit: Option<u32>,
    id: Vec<i64>,
    on: Option<bool>,
    text: Option<String>,
}

#[derive(Deserialize)]
struct EventQuery {
    #[serde(default)]
    bytes: usize,
}

impl EventQuery {
    /// Text that is so long as JSON.
    fn data(&self) -> String {
        "x".repeat(self.bytes.saturating_sub(2))
    }
}

#[derive(Serialize, Deserialize)]
struct Numbers {
    integer: i64,
    list: Vec<u32>,
    float: f64,
    #[serde(flatten)]
    nested: Nested,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Nested {
    small: u8,
}

#[derive(Serialize, Deserialize)]
struct Checked {
    id: i64,
    email: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Flag {
    on_: bool,
    seal: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct FlatFlag {
    id: i64,
    #[serde(flatten)]
    rest: FlagRest,
}

#[derive(Serialize, Deserialize)]
struct FlagRest {
    #[serde(deserialize_with = "mortise_sdk::db::boolean")]
    on_: bool,
    seal: Vec<u8>,
}

fn booleans() -> Result<Json<Value>, Error> {
    let sql = "SELECT id, on_, seal FROM flags";
    Ok(Json(json!({
        "value": db::query_one::<Value>(sql, ())?,
        "field": db::query_one::<Flag>(sql, ())?,
        "flattened": db::query_one::<FlatFlag>(sql, ())?,
    })))
}

fn double(number: i64) -> Result<i64, Error> {
    match number {
        0 => Err(Error::bad_request("zero stays zero")),
        7 => Err(Error::conflict("seven is taken")),
        _ => Ok(number * 2),
    }
}

/// A job whose setting is wrong, or none.
fn job(what: &str) -> NewJob {
    let free = NewJob::new("free");
    match what {
        "unknown" => NewJob::new("nowhere"),
        "too-large" => free.payload(&"x".repeat(1_023)),
        "large" => free.payload(&"x".repeat(1_022)),
        "long-key" => free.unique_key("x".repeat(201)),
        "schedule-key" => free.unique_key("schedule:nightly"),
        "unbound-key" => free.concurrency_key("customer-7"),
        "bound-key" => NewJob::new("bound").concurrency_key("customer-7"),
        "priority" => free.priority(1_001),
        "late" => free.after(Duration::from_secs(11 * 366 * 24 * 60 * 60)),
        "past" => free.at(0),
        _ => free,
    }
}

/// Whether something was added, or the kind of its error and what it says.
fn outcome<E: Display>(added: Result<String, E>, kind: fn(&E) -> &'static str) -> Value {
    match added {
        Ok(id) => json!({ "added": !id.is_empty() }),
        Err(error) => json!({ "error": kind(&error), "says": error.to_string() }),
    }
}

fn job_error(error: &jobs::Error) -> &'static str {
    match error {
        jobs::Error::UnknownJob(_) => "unknown-job",
        jobs::Error::Invalid(_) => "invalid",
        jobs::Error::TooLarge => "too-large",
        jobs::Error::Limit(_) => "limit",
        jobs::Error::Unavailable(_) => "unavailable",
        jobs::Error::Other(_) => "other",
    }
}

fn event_error(error: &events::Error) -> &'static str {
    match error {
        events::Error::Invalid(_) => "invalid",
        events::Error::NotGranted(_) => "not-granted",
        events::Error::TooLarge => "too-large",
        events::Error::Limit(_) => "limit",
        events::Error::Unavailable(_) => "unavailable",
        events::Error::Other(_) => "other",
    }
}

fn mail_error(error: &email::Error) -> &'static str {
    match error {
        email::Error::Invalid(_) => "invalid",
        email::Error::NotGranted(_) => "not-granted",
        email::Error::Limit(_) => "limit",
        email::Error::Unavailable(_) => "unavailable",
        email::Error::Other(_) => "other",
    }
}

/// A mail that the host accepts, or one with the mistake that `what` names.
fn mail(what: &str) -> email::Message {
    let empty = email::to("ada@example.com");
    let whole = empty.clone().subject("Hello").text("How are you?");
    match what {
        "template" => empty.template("paid", &json!({ "order": 7, "name": "<Ada>" })),
        "html" => empty.subject("Hello").html("<p>How are you?</p>"),
        "from-a-domain" => whole.from("Ann <ann@news.example>"),
        "from-elsewhere" => whole.from("ann@example.com"),
        "nobody" => email::Message::new().subject("Hello").text("How are you?"),
        "no-address" => whole.to("ada"),
        "injected-address" => whole.cc("bob@example.com\r\nBcc: eve@example.com"),
        "injected-subject" => whole.subject("Hello\r\nBcc: eve@example.com"),
        "injected-header" => whole.header("x-a", "b\r\nBcc: eve@example.com"),
        "reserved-header" => whole.header("Bcc", "eve@example.com"),
        "many" => whole.to("b@example.com").cc("c@example.com").bcc("d@example.com"),
        "empty" => empty.subject("Hello"),
        "unknown-template" => empty.template("unpaid", &json!({})),
        "missing-value" => empty.template("paid", &json!({ "order": 7 })),
        "no-values" => empty.template("paid", &7),
        "injected-value" => empty.template(
            "paid",
            &json!({ "order": "7\r\nBcc: eve@example.com", "name": "Ada" }),
        ),
        "file" => whole.attach("a.txt", "text/plain", "notes"),
        "file-with-a-path" => whole.attach("../a.txt", "text/plain", "notes"),
        "one-click-for-two" => whole
            .to("bob@example.com")
            .header("list-unsubscribe", "one-click"),
        _ => whole,
    }
}

fn step_error(error: &steps::Error) -> &'static str {
    match error {
        steps::Error::Invalid(_) => "invalid",
        steps::Error::Limit(_) => "limit",
        steps::Error::Unavailable(_) => "unavailable",
        steps::Error::Other(_) | steps::Error::Json(_) => "other",
    }
}

fn database_error(error: &db::Error) -> &'static str {
    match error {
        db::Error::Invalid(_) => "invalid",
        db::Error::Conflict(_) => "conflict",
        db::Error::Denied(_) => "denied",
        db::Error::Limit(_) => "limit",
        db::Error::Unavailable(_) => "unavailable",
        _ => "other",
    }
}

/// Adds a job in a transaction that is rolled back.
fn job_in_transaction(Path(what): Path<String>) -> Result<Json<Value>, Error> {
    let transaction = db::begin()?;
    if what == "many" {
        let added = (0..4).map(|_| outcome(job("").enqueue_in(&transaction), database_error));
        return Ok(Json(json!(added.collect::<Vec<_>>())));
    }
    let added = job(&what).enqueue_in(&transaction);
    Ok(Json(outcome(added, database_error)))
}

/// Publishes an event, with data of so many bytes.
fn event(Path(topic): Path<String>, Query(query): Query<EventQuery>) -> Json<Value> {
    Json(outcome(events::publish(&topic, &query.data()), event_error))
}

/// Publishes an event in a transaction that is rolled back.
fn event_in_transaction(
    Path(topic): Path<String>,
    Query(query): Query<EventQuery>,
) -> Result<Json<Value>, Error> {
    let transaction = db::begin()?;
    let published = transaction.publish(&topic, &query.data());
    Ok(Json(outcome(published, database_error)))
}

/// Steps and completion outside of a job.
fn outside_of_a_job() -> Result<Json<Value>, Error> {
    let nothing = |()| String::new();
    let load = steps::load::<u32>("a").map(|_| String::new());
    let transaction = db::begin()?;
    Ok(Json(json!({
        "load": outcome(load, step_error),
        "complete": outcome(transaction.complete().map(nothing), database_error),
        "store in a transaction": outcome(transaction.store_step("a", &1).map(nothing), database_error),
    })))
}

fn statements(Path(count): Path<usize>) -> Json<Value> {
    let run =
        |number: usize| db::query_one::<usize>("SELECT $1", (number,)).map_err(|error| error.to_string());
    let outcomes: Vec<_> = (0..count).map(run).collect();
    Json(json!(outcomes))
}
