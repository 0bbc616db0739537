//! Checks a plugin's response before it is sent, because the plugin chooses all of it.

use axum::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};

use crate::capability::bindings::http_types::{self, Body as PluginBody};
use crate::domain::units::ByteSize;
use crate::http::problem::REQUEST_ID;

/// The most headers of a response, and their most bytes.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// The most bytes of a function's error message.
const MAX_DETAIL: usize = 4 * 1024;

/// Headers that belong to the connection and are removed. The length is set from the body.
const CONNECTION_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why a response cannot be sent, as a sentence for the plugin's author.
#[derive(Debug, thiserror::Error)]
pub enum Unsendable {
    /// The body exceeds its limit.
    #[error("the body has {bytes} bytes, more than the limit `response_body` of {limit}")]
    TooLarge { bytes: usize, limit: ByteSize },
    /// It is not a valid HTTP response.
    #[error("{0}")]
    Malformed(String),
}

/// Checks and converts a plugin's response.
pub fn check(response: http_types::Response, limit: ByteSize) -> Result<Response<Vec<u8>>, Unsendable> {
    if let PluginBody::Text(text) = &response.body {
        within(text.len(), limit)?;
    }
    if let PluginBody::Bytes(bytes) = &response.body {
        within(bytes.len(), limit)?;
    }
    well_formed(response).map_err(Unsendable::Malformed)
}

/// Checks the output of a function and converts it to a JSON response.
pub fn output(output: String, limit: ByteSize) -> Result<Response<Vec<u8>>, Unsendable> {
    within(output.len(), limit)?;
    let mut response = Response::new(output.into_bytes());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Converts a function's error message to the detail of a problem. It is truncated, because the
/// plugin chooses its length.
pub fn detail(mut said: String) -> String {
    if said.len() > MAX_DETAIL {
        said.truncate(said.floor_char_boundary(MAX_DETAIL));
        said.push('…');
    }
    said
}

fn within(bytes: usize, limit: ByteSize) -> Result<(), Unsendable> {
    match bytes > limit.as_usize() {
        true => Err(Unsendable::TooLarge { bytes, limit }),
        false => Ok(()),
    }
}

fn well_formed(response: http_types::Response) -> Result<Response<Vec<u8>>, String> {
    let status = StatusCode::from_u16(response.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()));
    let status = status.ok_or_else(|| format!("{} is not a status from 200 to 599", response.status))?;
    let mut headers = headers(response.headers)?;
    let (bytes, content_type) = match response.body {
        PluginBody::Empty => (Vec::new(), None),
        PluginBody::Text(text) => (text.into_bytes(), Some("text/plain; charset=utf-8")),
        PluginBody::Bytes(bytes) => (bytes, Some("application/octet-stream")),
        PluginBody::Channels(_) => return Err("this host does not serve realtime channels yet".to_owned()),
    };
    let bodiless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if let Some(content_type) = content_type.filter(|_| !headers.contains_key(CONTENT_TYPE)) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let bytes = if bodiless { Vec::new() } else { bytes };
    let mut response = Response::new(bytes);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

fn headers(given: Vec<(String, String)>) -> Result<HeaderMap, String> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
        return Err(format!(
            "it has more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes of them"
        ));
    }
    let mut headers = HeaderMap::with_capacity(given.len() + 2);
    for (name, value) in given {
        let name =
            HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not a header name"))?;
        if CONNECTION_HEADERS.contains(&name.as_str()) || name == REQUEST_ID {
            continue;
        }
        let value = HeaderValue::from_str(&value)
            .map_err(|_| format!("the value of header `{name}` is not valid"))?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: PluginBody) -> http_types::Response {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        http_types::Response {
            status,
            headers,
            body,
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        let many: Vec<(&str, &str)> = vec![("a", "b"); MAX_HEADERS + 1];
        for (given, wanted) in [
            (response(99, &[], PluginBody::Empty), "99 is not a status"),
            (response(101, &[], PluginBody::Empty), "101 is not a status"),
            (response(600, &[], PluginBody::Empty), "600 is not a status"),
            (
                response(200, &[("a b", "")], PluginBody::Empty),
                "`a b` is not a header name",
            ),
            (
                response(200, &[("a", "b\r\nset-cookie: x")], PluginBody::Empty),
                "the value of header `a`",
            ),
            (response(200, &many, PluginBody::Empty), "more than 100 headers"),
            (
                response(200, &[], PluginBody::Text("xxxxx".into())),
                "the body has 5 bytes, more than the limit `response_body` of 4B",
            ),
            (
                response(200, &[], PluginBody::Channels(vec![])),
                "does not serve realtime",
            ),
        ] {
            let error = check(given, ByteSize(4)).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn the_connection_is_the_hosts() {
        let given = [
            ("Content-Length", "9"),
            ("transfer-encoding", "chunked"),
            ("x-request-id", "mine"),
            ("x-own", "1"),
        ];
        let response = check(
            response(200, &given, PluginBody::Text("body".into())),
            ByteSize(4),
        )
        .unwrap();
        assert_eq!(response.body(), b"body");
        let names: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-own", "content-type"]);
    }
}
