//! Reads the response of another server within the limits of the plan.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::super::bindings::http_client::IncomingResponse;
use super::super::content::content_of;
use super::connect::{MOST_RESPONSE_HEADER_BYTES, MOST_RESPONSE_HEADERS};
use super::connection::Line;
use super::error::{Phase, SendError};
use super::work::Work;
use crate::domain::units::as_u64;

/// A complete response.
#[derive(Debug)]
pub struct Received {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, unchanged.
    pub headers: HeaderMap,
    /// Its body, unchanged.
    pub body: Vec<u8>,
}

impl Received {
    /// Reads the body of `response` from `line`: at most `most` bytes, and with pauses of at most
    /// `idle`.
    pub async fn read(
        response: Response<Incoming>,
        line: &mut Line,
        work: &Work,
        most: usize,
        idle: Duration,
    ) -> Result<Self, SendError> {
        let began = Instant::now();
        let (head, mut incoming) = response.into_parts();
        if head.status.is_informational() {
            return Err(SendError::Protocol(
                "the server switched to another protocol".to_owned(),
            ));
        }
        // `most` bounds what is read. The server controls the announced length, which only allows
        // an early error.
        let announced = incoming.size_hint().lower();
        if announced > as_u64(most) {
            return Err(SendError::TooLarge);
        }
        line.allowance().begin_body();
        let mut body = Vec::new();
        loop {
            let frame = timeout(idle, line.wait_for(work, incoming.frame()))
                .await
                .map_err(|_| SendError::Timeout {
                    phase: Phase::Response,
                    after: began.elapsed(),
                })??;
            let Some(frame) = frame else { break };
            let Ok(data) = frame.map_err(|error| protocol(&error))?.into_data() else {
                continue;
            };
            if data.len() > most - body.len() {
                return Err(SendError::TooLarge);
            }
            line.allowance().received(data.len())?;
            body.extend_from_slice(&data);
        }
        Ok(Self {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

impl From<Received> for IncomingResponse {
    fn from(received: Received) -> Self {
        let content_type = received.headers.get(CONTENT_TYPE).map(text_of);
        let headers = received
            .headers
            .iter()
            .filter(|(name, _)| !CONNECTION_HEADERS.contains(name))
            .map(|(name, value)| (name.as_str().to_owned(), text_of(value)))
            .collect();
        Self {
            status: received.status.as_u16(),
            headers,
            body: content_of(content_type.as_deref(), received.body),
        }
    }
}

/// Headers that concern only the host's connection. Plugins do not get them.
const CONNECTION_HEADERS: [header::HeaderName; 5] = [
    header::CONNECTION,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HeaderName::from_static("keep-alive"),
];

/// Translates an HTTP error of the server. The messages contain no addresses.
pub fn protocol(error: &hyper::Error) -> SendError {
    SendError::Protocol(if error.is_parse_too_large() {
        format!(
            "the response has more than {MOST_RESPONSE_HEADERS} headers or {MOST_RESPONSE_HEADER_BYTES} bytes of them"
        )
    } else if error.is_parse() {
        "the response is not HTTP/1.1".to_owned()
    } else {
        "the server closed the connection before the response was complete".to_owned()
    })
}

/// Header values that are not UTF-8 are read as Latin-1, the former encoding of HTTP.
fn text_of(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::bindings::types::Content;

    #[test]
    fn what_concerns_the_connection_is_left_out() {
        let mut headers = HeaderMap::new();
        headers.append("content-type", HeaderValue::from_static("text/plain"));
        headers.append("set-cookie", HeaderValue::from_static("a=1"));
        headers.append("set-cookie", HeaderValue::from_static("b=2"));
        headers.append("x-latin", HeaderValue::from_bytes(b"caf\xe9").unwrap());
        headers.append("connection", HeaderValue::from_static("keep-alive"));
        headers.append("transfer-encoding", HeaderValue::from_static("chunked"));
        let response = IncomingResponse::from(Received {
            status: StatusCode::OK,
            headers,
            body: b"hi".to_vec(),
        });
        let given: Vec<_> = response
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            given,
            [
                "content-type: text/plain",
                "set-cookie: a=1",
                "set-cookie: b=2",
                "x-latin: café"
            ]
        );
        assert!(matches!(response.body, Content::Text(text) if text == "hi"));
    }
}
