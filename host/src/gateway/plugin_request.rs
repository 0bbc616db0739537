//! Converts a request to its form for the plugin, without connection headers and without the host's
//! credentials.

use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use axum::http::request::Parts;
use bytes::Bytes;

use super::authenticate;
use crate::capability::bindings::http_types;
use crate::capability::content::content_of;
use crate::capability::http_client::DEPTH_HEADER;
use crate::tenants::MethodRoute;

/// Headers that belong to one connection.
const HIDDEN_HEADERS: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Builds the request to `route`. `path` is the path below the plugin's mount point, which is at
/// `base_url`.
pub fn new(
    parts: &Parts,
    path: &str,
    route: &MethodRoute,
    params: Vec<(String, String)>,
    body: Bytes,
    base_url: String,
) -> http_types::Request {
    let content_type = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    http_types::Request {
        // The method of the route, since a route for `GET` also answers `HEAD`. The HTTP layer then
        // omits the body.
        method: route.method.clone(),
        route: route.pattern.to_string(),
        path: path.to_owned(),
        query: parts.uri.query().map(str::to_owned),
        params,
        headers: headers(&parts.headers),
        scheme: base_url
            .split_once(':')
            .map_or("http", |(scheme, _)| scheme)
            .to_owned(),
        authority: parts.headers.get(HOST).map(text).unwrap_or_default(),
        base_url,
        body: (!body.is_empty()).then(|| content_of(content_type, body.into())),
    }
}

/// The headers that plugins see, with lower-case names.
pub fn headers(received: &HeaderMap) -> Vec<(String, String)> {
    let visible = |(name, value): &(&HeaderName, &HeaderValue)| {
        !HIDDEN_HEADERS.contains(&name.as_str())
            && **name != DEPTH_HEADER
            && !authenticate::is_credential(name, value)
    };
    let named = |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().to_owned(), text(value));
    let mut headers = Vec::with_capacity(received.len());
    headers.extend(received.iter().filter(visible).map(named));
    headers
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
