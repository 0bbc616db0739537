//! Checks the guest's request and builds the message to send.
//!
//! No unparsed text of the guest is sent. The method is one of a list, the path comes from the
//! parsed URL, and header names and values have their own types. Only the host sets the headers
//! that frame a message or name its receiver.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;

use super::super::ActiveVersion;
use super::super::bindings::http_client::OutgoingRequest;
use super::super::bindings::types::Content;
use super::error::SendError;
use super::grant::{self, Target};
use super::retry::RetryPolicy;
use super::secret;
use crate::storage::vault::Vault;

/// The maximum depth of a chain of requests between plugins of this host. Stops a plugin that calls
/// itself.
pub const DEEPEST_CALL: u32 = 4;

/// The header that carries the depth. A forged value can only increase the depth or reset it to
/// zero, as any external caller does. The tenant's limits bound the requests that this causes.
pub const DEPTH_HEADER: HeaderName = HeaderName::from_static("x-mortise-depth");

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Most headers of a request; most servers reject more.
const MOST_HEADERS: usize = 100;
const MOST_HEADER_BYTES: usize = 64 * 1024;

/// Headers that frame the message, belong to one connection or name the receiver.
const FORBIDDEN_HEADERS: [HeaderName; 12] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy"),
    DEPTH_HEADER,
];

/// A request that may be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// One of the methods that are allowed.
    pub method: Method,
    /// The target.
    pub target: Target,
    /// All headers, secrets included.
    pub headers: HeaderMap,
    /// The body, which may be empty.
    pub body: Bytes,
    /// Whether one of the headers holds a secret.
    pub carries_secret: bool,
    /// The time limit that the guest asks for.
    pub timeout: Option<Duration>,
    /// The retry policy.
    pub retry: RetryPolicy,
}

impl Outgoing {
    /// Checks the guest's `request` against the grants of `active`.
    pub fn new(
        request: OutgoingRequest,
        active: &ActiveVersion,
        vault: &Vault,
        call_depth: u32,
    ) -> Result<Self, SendError> {
        if call_depth >= DEEPEST_CALL {
            return Err(SendError::Denied(format!(
                "this invocation is the end of a chain of {DEEPEST_CALL} requests from plugin to plugin; do not let a \
                 plugin call itself"
            )));
        }
        let method = method(&request.method)?;
        let target = grant::target(&request.url, &active.grants.http)?;
        let mut headers = guest_headers(&request.headers)?;
        let carries_secret = !request.secret_headers.is_empty();
        for (name, prefix, secret) in &request.secret_headers {
            let name = header_name(name)?;
            if headers.contains_key(&name) {
                return Err(SendError::InvalidRequest(format!(
                    "the header `{name}` is given twice"
                )));
            }
            let value = secret::header_value(prefix, secret, &target.origin, active, vault)?;
            headers.insert(name, value);
        }
        let body = request.body.map(bytes_of);
        set_host_headers(&mut headers, &method, &target, body.as_ref(), call_depth)?;
        Ok(Self {
            method,
            target,
            headers,
            body: body.unwrap_or_default(),
            carries_secret,
            timeout: request
                .timeout_ms
                .map(|milliseconds| Duration::from_millis(milliseconds.into())),
            retry: request.retry.into(),
        })
    }

    /// The message for one attempt.
    pub fn message(&self) -> Request<Full<Bytes>> {
        let mut message = Request::new(Full::new(self.body.clone()));
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.target.path.clone().into();
        *message.headers_mut() = self.headers.clone();
        message
    }
}

/// The size of a request, in bytes.
pub fn bytes(request: &OutgoingRequest) -> usize {
    let OutgoingRequest {
        method,
        url,
        headers,
        secret_headers,
        body,
        timeout_ms: _,
        retry: _,
    } = request;
    let headers = headers.iter().map(|(name, value)| name.len() + value.len());
    let secret_headers = secret_headers
        .iter()
        .map(|(name, prefix, secret)| name.len() + prefix.len() + secret.len());
    let body = match body {
        Some(Content::Text(text)) => text.len(),
        Some(Content::Bytes(bytes)) => bytes.len(),
        None => 0,
    };
    method.len() + url.len() + headers.chain(secret_headers).sum::<usize>() + body
}

fn method(text: &str) -> Result<Method, SendError> {
    METHODS
        .iter()
        .find(|method| method.as_str() == text)
        .cloned()
        .ok_or_else(|| {
            SendError::InvalidRequest(format!(
                "the method `{}` is none of GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS",
                shortened(text)
            ))
        })
}

fn guest_headers(given: &[(String, String)]) -> Result<HeaderMap, SendError> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > MOST_HEADERS || bytes > MOST_HEADER_BYTES {
        return Err(SendError::InvalidRequest(format!(
            "the request has more than {MOST_HEADERS} headers or {MOST_HEADER_BYTES} bytes of them"
        )));
    }
    let mut headers = HeaderMap::with_capacity(given.len());
    for (name, value) in given {
        let name = header_name(name)?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| {
            SendError::InvalidRequest(format!(
                "the value of the header `{name}` holds control characters"
            ))
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header_name(text: &str) -> Result<HeaderName, SendError> {
    let name = HeaderName::from_bytes(text.as_bytes()).map_err(|_| {
        SendError::InvalidRequest(format!("`{}` is not the name of a header", shortened(text)))
    })?;
    if FORBIDDEN_HEADERS.contains(&name) || name.as_str().starts_with("proxy-") {
        return Err(SendError::InvalidRequest(format!(
            "the header `{name}` is set by the host; leave it out"
        )));
    }
    Ok(name)
}

fn set_host_headers(
    headers: &mut HeaderMap,
    method: &Method,
    target: &Target,
    body: Option<&Bytes>,
    call_depth: u32,
) -> Result<(), SendError> {
    let origin = target.origin.to_string();
    let authority = origin
        .split_once("://")
        .map_or(origin.as_str(), |(_, authority)| authority);
    let host = HeaderValue::from_str(authority)
        .map_err(|_| SendError::InvalidRequest(format!("`{authority}` is not the name of a host")))?;
    headers.insert(header::HOST, host);
    headers.insert(DEPTH_HEADER, HeaderValue::from(call_depth + 1));
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static("mortise"));
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    if body.is_some() || expects_body {
        let length = body.map_or(0, Bytes::len);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(())
}

fn bytes_of(content: Content) -> Bytes {
    match content {
        Content::Text(text) => text.into(),
        Content::Bytes(bytes) => bytes.into(),
    }
}

/// Shortens and escapes guest-controlled text for an error message.
fn shortened(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::http_client::tests::{active, request, vault};

    fn outgoing(change: impl FnOnce(&mut OutgoingRequest)) -> Result<Outgoing, SendError> {
        let mut request = request("GET", "http://a.example:8080/x?y=1");
        change(&mut request);
        Outgoing::new(request, &active(&["http://a.example:8080"]), &vault(), 0)
    }

    fn refusal(change: impl FnOnce(&mut OutgoingRequest)) -> String {
        match outgoing(change) {
            Err(SendError::InvalidRequest(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_host_sets_what_names_the_receiver_and_frames_the_message() {
        let request =
            outgoing(|request| request.headers.push(("X-Mine".to_owned(), "ä".to_owned()))).unwrap();
        let message = request.message();
        assert_eq!(message.uri().to_string(), "/x?y=1");
        let headers: Vec<_> = message
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        assert_eq!(
            headers,
            [
                "x-mine: ä",
                "host: a.example:8080",
                "x-mortise-depth: 1",
                "user-agent: mortise"
            ]
        );
    }

    #[test]
    fn a_method_outside_the_list_is_refused() {
        for method in [
            "CONNECT",
            "TRACE",
            "get",
            "",
            "GET ",
            "GET / HTTP/1.1\r\nX: y",
            "PROPFIND",
            "PRI",
        ] {
            assert!(
                refusal(|request| request.method = method.to_owned()).contains("is none of GET"),
                "{method}"
            );
        }
    }

    #[test]
    fn headers_of_the_connection_and_the_message_are_refused() {
        for name in [
            "Connection",
            "content-length",
            "Content-Length",
            "Expect",
            "Host",
            "HOST",
            "HTTP2-Settings",
            "Keep-Alive",
            "Proxy",
            "Proxy-Authorization",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "X-Mortise-Depth",
        ] {
            let reason = refusal(|request| request.headers.push((name.to_owned(), "1".to_owned())));
            assert!(
                reason.ends_with("is set by the host; leave it out"),
                "{name}: {reason}"
            );
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        for name in ["", "a b", "a:", "a\r\nb", "ä", "a\0"] {
            let reason = refusal(|request| request.headers.push((name.to_owned(), "1".to_owned())));
            assert!(
                reason.ends_with("is not the name of a header"),
                "{name:?}: {reason}"
            );
        }
        for value in ["a\r\nHost: evil", "a\nb", "a\0", "\u{7f}"] {
            let reason = refusal(|request| request.headers.push(("x".to_owned(), value.to_owned())));
            assert_eq!(
                reason, "the value of the header `x` holds control characters",
                "{value:?}"
            );
        }
    }

    #[test]
    fn headers_are_bounded() {
        let many = vec![("x".to_owned(), String::new()); MOST_HEADERS + 1];
        assert!(refusal(|request| request.headers = many).contains("more than 100 headers"));
        let large = vec![("x".to_owned(), "y".repeat(MOST_HEADER_BYTES))];
        assert!(refusal(|request| request.headers = large).contains("65536 bytes"));
    }

    #[test]
    fn a_length_is_sent_where_servers_expect_one() {
        let length = |method: &str, body: Option<Content>| {
            let request = outgoing(|request| {
                request.method = method.to_owned();
                request.body = body;
            });
            let headers = request.unwrap().headers;
            headers
                .get(header::CONTENT_LENGTH)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(length("GET", None), None);
        assert_eq!(length("POST", None).as_deref(), Some("0"));
        assert_eq!(
            length("POST", Some(Content::Text("äb".to_owned()))).as_deref(),
            Some("3")
        );
        assert_eq!(
            length("DELETE", Some(Content::Bytes(vec![1]))).as_deref(),
            Some("1")
        );
    }

    #[test]
    fn a_chain_of_requests_from_plugin_to_plugin_ends() {
        let send = |depth| {
            let request = request("GET", "http://a.example/");
            Outgoing::new(request, &active(&["http://a.example"]), &vault(), depth)
        };
        assert_eq!(send(3).unwrap().headers[DEPTH_HEADER], "4");
        assert!(matches!(send(4), Err(SendError::Denied(reason)) if reason.contains("chain of 4 requests")));
    }
}
