//! The shared code of the guests: the bindings of each contract version, and a handler that returns
//! JSON.

pub mod v0_1;
pub mod v0_2;

pub use serde_json::{Value, json};
pub use v0_2::{
    Body, Content, Request, Response, answer, bindings, cache, config, context, crypto, database, email,
    events, http_client, http_handler, input, jobs, log, realtime, secrets,
};

/// Exports a function as the guest's handler. In a native build, in which the export names are not
/// symbols, the function is only type-checked.
#[macro_export]
macro_rules! guest {
    ($contract:ident, $handle:path) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn($crate::$contract::Request) -> $crate::$contract::Response = $handle;

        #[cfg(target_family = "wasm")]
        struct Guest;

        #[cfg(target_family = "wasm")]
        impl $crate::$contract::http_handler::Guest for Guest {
            fn handle(request: $crate::$contract::Request) -> $crate::$contract::Response {
                $handle(request)
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::$contract::bindings::export!(Guest with_types_in $crate::$contract::bindings);
    };
    ($handle:path) => {
        $crate::guest!(v0_2, $handle);
    };
}

/// A text member of the input.
pub fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input[member].as_str().unwrap_or_default()
}

/// A result as JSON.
pub fn result<T: Into<Value>, E: std::fmt::Debug>(result: Result<T, E>) -> Value {
    match result {
        Ok(value) => json!({ "ok": value.into() }),
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}

/// The code that is the same for each version of the contract.
#[doc(hidden)]
#[macro_export]
macro_rules! contract {
    () => {
        pub use bindings::exports::mortise::plugin::http_handler;
        pub use bindings::mortise::plugin::http_types::{Body, Request, Response};
        pub use bindings::mortise::plugin::types::Content;
        pub use bindings::mortise::plugin::{
            cache, config, context, crypto, database, email, events, http_client, jobs, log, realtime,
            secrets,
        };

        /// A response with a JSON body.
        pub fn answer(status: u16, body: &serde_json::Value) -> Response {
            Response {
                status,
                headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                body: Body::Text(body.to_string()),
            }
        }

        /// The request's body as JSON; null if there is none.
        pub fn input(request: &Request) -> serde_json::Value {
            match &request.body {
                Some(Content::Text(text)) => serde_json::from_str(text).expect("the tests send JSON"),
                Some(Content::Bytes(bytes)) => serde_json::from_slice(bytes).expect("the tests send JSON"),
                None => serde_json::Value::Null,
            }
        }
    };
}
