//! The shared code of the guests that call the capabilities without a separate test server.

use test_guests::{Value, json, result, text};

use crate::contract::{
    Content, Request, Response, answer, cache, config, context, database, input, log, realtime, secrets,
};
use crate::own;

/// Answers a request.
pub fn handle(request: Request) -> Response {
    let input = input(&request);
    let output = match request.path.as_str() {
        "/context" => {
            let mut current = own::current(&context::current());
            current["remaining_ms"] = json!(context::remaining_ms());
            current
        }
        "/log" => write_log(&input),
        "/panic" => panic!(
            "it was {}",
            secrets::reveal(text(&input, "reveal")).expect("the test grants it")
        ),
        "/config" => json!(config::get(text(&input, "key"))),
        "/secrets/reveal" => result(secrets::reveal(text(&input, "name"))),
        "/secrets/hmac" => result(secrets::hmac_sha256(
            text(&input, "name"),
            text(&input, "data").as_bytes(),
        )),
        "/cache" => use_cache(&input),
        "/host-calls" => many_calls(&input),
        "/hand-over" => hand_over(&input),
        "/unavailable" => {
            let mut answers = own::unavailable();
            answers["realtime"] = use_realtime();
            answers
        }
        other => json!(other),
    };
    answer(200, &output)
}

fn write_log(input: &Value) -> Value {
    if let Some(name) = input["reveal"].as_str() {
        let secret = secrets::reveal(name).expect("the test grants it");
        log::write(
            log::Level::Error,
            &format!("the secret is {secret}"),
            &[("value".to_owned(), secret)],
        );
    }
    for index in 0..input["lines"].as_u64().unwrap_or(1) {
        let fields = [("index".to_owned(), index.to_string())];
        log::write(log::Level::Info, text(input, "message"), &fields);
    }
    json!("logged")
}

fn use_cache(input: &Value) -> Value {
    let (key, ttl) = (text(input, "key"), input["ttl_ms"].as_u64());
    let value = || Content::Text(text(input, "value").to_owned());
    match text(input, "call") {
        "get" => result(cache::get(key).map(|found| match found {
            None => json!(null),
            Some(Content::Text(text)) => json!(text),
            Some(Content::Bytes(bytes)) => json!(bytes),
        })),
        "set" => result(cache::set(key, &value(), ttl)),
        "set-bytes" => result(cache::set(key, &Content::Bytes(vec![1, 2, 255]), ttl)),
        "set-if-absent" => result(cache::set_if_absent(key, &value(), ttl)),
        "increment" => result(cache::increment(key, input["delta"].as_i64().unwrap_or(1), ttl)),
        "delete" => result(cache::delete(key)),
        other => json!(other),
    }
}

/// Makes cheap calls until one is rejected, and returns the number of successful ones.
fn many_calls(input: &Value) -> Value {
    let most = input["calls"].as_u64().unwrap_or(0);
    for made in 0..most {
        if let Err(error) = cache::get("k") {
            return json!({ "made": made, "error": format!("{error:?}") });
        }
    }
    if input["untyped"].as_bool() == Some(true) {
        config::get("k");
    }
    json!({ "made": most })
}

/// Passes this many bytes in one call, to a function with a typed error for the limit or to one
/// without.
fn hand_over(input: &Value) -> Value {
    let bytes = input["bytes"]
        .as_u64()
        .and_then(|bytes| usize::try_from(bytes).ok());
    let long = "x".repeat(bytes.unwrap_or(0));
    match text(input, "call") {
        "typed" => result(database::query(&long, &[]).map(|_| json!(null))),
        "fields" => {
            log::write(
                log::Level::Info,
                "",
                &vec![(String::new(), String::new()); long.len()],
            );
            json!("logged")
        }
        "none" => json!(std::hint::black_box(&long).len()),
        _ => json!(config::get(&long)),
    }
}

fn use_realtime() -> Value {
    let content = Content::Text("m".to_owned());
    json!([
        result(realtime::publish("c", &content)),
        result(realtime::send("c", &content)),
        result(realtime::subscribe("c", "d")),
        result(realtime::unsubscribe("c", "d")),
        result(realtime::close("c", "r")),
    ])
}
