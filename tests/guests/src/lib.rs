//! What the guests share: the bindings of the contract, and a handler that answers JSON.

#[expect(missing_docs, reason = "generated from `wit/`, where the documentation is")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "http-plugin",
        pub_export_macro: true,
        default_bindings_module: "test_guests::bindings",
    });
}

pub use bindings::exports::mortise::plugin::http_handler;
pub use bindings::mortise::plugin::http_types::{Body, Request, Response};
pub use bindings::mortise::plugin::types::Content;
pub use bindings::mortise::plugin::{
    cache, config, context, crypto, database, email, events, http_client, jobs, log, realtime, secrets,
};
pub use serde_json::{Value, json};

/// Makes a function from a request to a response the guest's handler. Natively, where the names of a component's
/// exports are no symbols, the function is only checked.
#[macro_export]
macro_rules! guest {
    ($handle:path) => {
        #[cfg(not(target_family = "wasm"))]
        const _: fn($crate::Request) -> $crate::Response = $handle;

        #[cfg(target_family = "wasm")]
        struct Guest;

        #[cfg(target_family = "wasm")]
        impl $crate::http_handler::Guest for Guest {
            fn handle(request: $crate::Request) -> $crate::Response {
                $handle(request)
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::bindings::export!(Guest with_types_in $crate::bindings);
    };
}

/// A response with a JSON body.
pub fn answer(status: u16, body: &Value) -> Response {
    Response {
        status,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Body::Text(body.to_string()),
    }
}

/// The request's body as JSON; null where there is none.
pub fn input(request: &Request) -> Value {
    match &request.body {
        Some(Content::Text(text)) => serde_json::from_str(text).expect("the tests send JSON"),
        Some(Content::Bytes(bytes)) => serde_json::from_slice(bytes).expect("the tests send JSON"),
        None => Value::Null,
    }
}

/// A member of the input that is text.
pub fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input[member].as_str().unwrap_or_default()
}
