//! A guest that handles functions, by name, and requests.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.2",
        inline: "
            package test:functions;

            world both {
                include mortise:plugin/http-plugin@0.2.0;
                export mortise:plugin/function-handler@0.2.0;
            }
        ",
        world: "test:functions/both",
        generate_all,
    });
}

use std::sync::atomic::{AtomicU64, Ordering};

use bindings::exports::mortise::plugin::function_handler::{self, Error};
use bindings::exports::mortise::plugin::http_handler;
use bindings::mortise::plugin::http_types::{Body, Request, Response};
use bindings::mortise::plugin::{context, log};
use test_guests::json;

struct Guest;

/// The number of calls of this instance.
static CALLS: AtomicU64 = AtomicU64::new(0);

impl function_handler::Guest for Guest {
    fn call(name: String, input: String) -> Result<String, Error> {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        match name.as_str() {
            "echo" => Ok(input),
            "calls" => Ok(calls.to_string()),
            "context" => {
                let current = context::current();
                let principal = current.principal.map(|principal| principal.id);
                Ok(
                    json!({ "trigger": format!("{:?}", current.trigger), "principal": principal })
                        .to_string(),
                )
            }
            "log" => {
                log::write(log::Level::Info, "called", &[]);
                Ok("null".to_owned())
            }
            "invalid" => Err(Error::InvalidInput("not this one".to_owned())),
            "failed" => Err(Error::Failed("it is broken".to_owned())),
            "other" => Err(Error::Other("something else".to_owned())),
            "verbose" => Err(Error::Failed("x".repeat(100_000))),
            "not-json" => Ok("{".to_owned()),
            "large" => Ok(format!("\"{}\"", "x".repeat(3 << 20))),
            "trap" => std::process::abort(),
            "loop" => loop {
                std::hint::black_box(0);
            },
            _ => Err(Error::UnknownFunction),
        }
    }
}

impl http_handler::Guest for Guest {
    fn handle(_: Request) -> Response {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        Response {
            status: 200,
            headers: Vec::new(),
            body: Body::Text(calls.to_string()),
        }
    }
}

bindings::export!(Guest with_types_in bindings);
