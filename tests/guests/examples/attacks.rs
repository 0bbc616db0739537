//! A guest that demands too much of the host: time, memory, and extreme arguments.

use std::hint::black_box;
use std::time::{Duration, Instant};

use test_guests::database::{self, Value as Sql};
use test_guests::http_client::{self, OutgoingRequest, Retry};
use test_guests::{
    Content, Request, Response, Value, answer, cache, config, context, guest, input, json, log, secrets,
};

guest!(handle);

const MIB: usize = 1 << 20;

fn handle(request: Request) -> Response {
    let input = input(&request);
    let output = match request.path.as_str() {
        "/copy" => copy(),
        "/argument" => argument(&input),
        "/list" => list(&input),
        "/untyped-calls" => untyped_calls(&input),
        "/clock" => clock(),
        "/extremes" => extremes(),
        "/sql-flood" => sql_flood(),
        "/log-flood" => log_flood(&input),
        "/memory-flood" => memory_flood(&input),
        "/cache-flood" => cache_flood(&input),
        "/hold-transaction" => hold_transaction(),
        "/work" => work(),
        other => json!(other),
    };
    answer(200, &output)
}

/// Copies more memory in one instruction than is possible within a tick, repeatedly.
#[expect(clippy::infinite_loop, reason = "the attack that is wanted")]
fn copy() -> Value {
    let mut memory = vec![1_u8; 40 * MIB];
    loop {
        memory.copy_within(..20 * MIB, 20 * MIB);
        black_box(&mut memory);
    }
}

/// Passes one large text to the host.
fn argument(input: &Value) -> Value {
    let bytes = number(input, "bytes");
    json!(outcome(cache::set("k", &Content::Text("x".repeat(bytes)), None)))
}

/// Passes a list of many small texts to the host.
fn list(input: &Value) -> Value {
    let fields = vec![("k".to_owned(), "v".to_owned()); number(input, "items")];
    log::write(log::Level::Info, "m", &fields);
    json!("written")
}

/// Makes cheap calls that have no error type.
fn untyped_calls(input: &Value) -> Value {
    for _ in 0..number(input, "calls") {
        black_box(config::get("k"));
    }
    json!("made")
}

/// Measures the smallest step of the clock, in nanoseconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock that a guest gets is what is asked for"
)]
fn clock() -> Value {
    let begin = Instant::now();
    let mut before = begin;
    let mut smallest = Duration::MAX;
    while before.duration_since(begin) < Duration::from_millis(8) {
        let now = Instant::now();
        if now > before {
            smallest = smallest.min(now - before);
            before = now;
        }
    }
    json!(u64::try_from(smallest.as_nanos()).unwrap_or(u64::MAX))
}

/// Calls everything with the extreme values of its types.
fn extremes() -> Value {
    let texts = [
        "".to_owned(),
        "\0".to_owned(),
        "\u{10ffff}\r\n".to_owned(),
        "x".repeat(MIB),
    ];
    let mut made = 0_u32;
    for text in &texts {
        for ttl in [None, Some(0), Some(u64::MAX)] {
            let value = Content::Text(text.clone());
            black_box(outcome(cache::set(text, &value, ttl)));
            black_box(outcome(cache::set_if_absent(
                text,
                &Content::Bytes(Vec::new()),
                ttl,
            )));
            black_box(outcome(cache::increment(text, i64::MIN, ttl)));
            black_box(outcome(cache::increment(text, i64::MAX, ttl)));
            made += 4;
        }
        black_box((
            cache::get(text).is_ok(),
            cache::delete(text).is_ok(),
            config::get(text),
        ));
        black_box((
            secrets::reveal(text).is_ok(),
            secrets::hmac_sha256(text, &[]).is_ok(),
        ));
        log::write(log::Level::Error, text, &[(text.clone(), text.clone())]);
        black_box(outcome(http_client::send(&outgoing(text, u32::MAX))));
        black_box(outcome(http_client::send(&outgoing(text, 0))));
        black_box(outcome(database::execute(text, &params(text))));
        black_box(outcome(database::query("SELECT $1, $2, $3, $4", &params(text))));
        made += 10;
    }
    for max in [0, 1, u32::MAX] {
        if let Ok(cursor) = database::open("SELECT 1 UNION SELECT 2", &[]) {
            black_box((
                cursor.next(max).is_ok(),
                cursor.next(max).is_ok(),
                cursor.columns(),
            ));
            made += 3;
        }
    }
    black_box((context::current(), context::remaining_ms()));
    json!({ "made": made })
}

fn outgoing(text: &str, extreme: u32) -> OutgoingRequest {
    OutgoingRequest {
        method: text.to_owned(),
        url: format!("http://{text}"),
        headers: vec![(text.to_owned(), text.to_owned())],
        secret_headers: vec![(text.to_owned(), text.to_owned(), text.to_owned())],
        body: Some(Content::Bytes(Vec::new())),
        timeout_ms: Some(extreme),
        retry: Some(Retry {
            max_attempts: extreme,
            initial_backoff_ms: extreme,
        }),
    }
}

fn params(text: &str) -> Vec<Sql> {
    vec![
        Sql::Integer(i64::MIN),
        Sql::Real(f64::NAN),
        Sql::Text(text.to_owned()),
        Sql::Blob(Vec::new()),
    ]
}

/// Runs queries up to its limits.
fn sql_flood() -> Value {
    let sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 5000) SELECT count(*), sum(x) FROM n";
    let mut made = 0;
    while made < 1_000 && database::query(sql, &[]).is_ok() {
        made += 1;
    }
    json!({ "made": made })
}

/// Logs more than the limit.
fn log_flood(input: &Value) -> Value {
    let line = "x".repeat(200);
    for _ in 0..number(input, "lines") {
        log::write(log::Level::Info, &line, &[]);
    }
    json!("written")
}

/// Allocates memory and writes to all of it.
fn memory_flood(input: &Value) -> Value {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    for _ in 0..number(input, "mebibytes") {
        hoard.push(black_box(vec![1; MIB]));
    }
    json!(hoard.len())
}

/// Fills the cache.
fn cache_flood(input: &Value) -> Value {
    let value = Content::Bytes(vec![1; 1_000]);
    let from = number(input, "from");
    for index in from..from + number(input, "entries") {
        if let Err(error) = cache::set(&format!("flood-{index}"), &value, None) {
            return json!({ "error": format!("{error:?}") });
        }
    }
    json!("filled")
}

/// Computes for about ten milliseconds, like a normal plugin.
fn work() -> Value {
    let sum = (0..20_000_000_u64).fold(0_u64, |sum, number| black_box(sum.wrapping_add(number)));
    json!(sum)
}

/// Begins a transaction and never ends it.
fn hold_transaction() -> Value {
    let transaction = database::begin().expect("a transaction begins");
    transaction
        .execute("INSERT INTO notes (body) VALUES ('held')", &[])
        .expect("the statement runs");
    std::thread::sleep(Duration::from_secs(3_600));
    json!("awake")
}

fn number(input: &Value, member: &str) -> usize {
    input[member]
        .as_u64()
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(0)
}

fn outcome<T, E: std::fmt::Debug>(result: Result<T, E>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}
