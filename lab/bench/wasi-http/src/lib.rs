//! The benchmarks' JSON request as a wasi:http component, to measure other hosts with the same
//! work.
#![cfg(target_family = "wasm")]

use serde::{Deserialize, Serialize};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::StreamError;

/// The most bytes of a body that are read at once.
const PIECE: u64 = 64 * 1024;

#[derive(Deserialize, Serialize)]
struct Order {
    product: String,
    quantity: u32,
    note: String,
}

struct Orders;

wasip2::http::proxy::export!(Orders);

impl Guest for Orders {
    fn handle(request: IncomingRequest, response: ResponseOutparam) {
        let answer = read(&request).and_then(|bytes| order(&bytes));
        let (status, bytes) = match answer {
            Some(bytes) => (200, bytes),
            None => (400, Vec::new()),
        };
        // If any of this fails, the caller is gone.
        let _ = send(response, status, &bytes);
    }
}

fn order(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut order: Order = serde_json::from_slice(bytes).ok()?;
    order.quantity += 1;
    serde_json::to_vec(&order).ok()
}

fn read(request: &IncomingRequest) -> Option<Vec<u8>> {
    let body = request.consume().ok()?;
    let stream = body.stream().ok()?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(PIECE) {
            Ok(piece) => bytes.extend(piece),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return None,
        }
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    Some(bytes)
}

fn send(response: ResponseOutparam, status: u16, bytes: &[u8]) -> Option<()> {
    let headers = Fields::new();
    headers.append("content-type", b"application/json").ok()?;
    let answer = OutgoingResponse::new(headers);
    answer.set_status_code(status).ok()?;
    let body = answer.body().ok()?;
    ResponseOutparam::set(response, Ok(answer));
    let stream = body.write().ok()?;
    stream.blocking_write_and_flush(bytes).ok()?;
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}
