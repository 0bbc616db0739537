//! The shared code of the guests that echo their requests.

use test_guests::{Value, json};

use crate::contract::{Content, Request};

/// The parts of a request that every version of the contract has.
pub fn echo(request: &Request) -> Value {
    let body = match &request.body {
        None => json!(null),
        Some(Content::Text(text)) => json!({ "text": text }),
        Some(Content::Bytes(bytes)) => json!({ "bytes": bytes }),
    };
    json!({
        "method": request.method,
        "route": request.route,
        "path": request.path,
        "query": request.query,
        "params": request.params,
        "headers": request.headers,
        "body": body,
    })
}
