//! The response to an outbound request.

use serde::de::DeserializeOwned;

use super::Error;
use crate::{Content, json};

/// A response to an outbound request.
///
/// ```
/// use mortise_sdk::http::Response;
///
/// let response = Response::new(200).with_body("[1, 2]");
/// assert_eq!(response.json::<Vec<i64>>(), Ok(vec![1, 2]));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Content,
}

impl Response {
    /// Creates a response, for tests.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::http::Response::new(503).status(), 503);
    /// ```
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Content::Text(String::new()),
        }
    }

    /// Adds a header, for tests.
    ///
    /// ```
    /// let response = mortise_sdk::http::Response::new(200).with_header("ETag", "\"1\"");
    /// assert_eq!(response.header("etag"), Some("\"1\""));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets the body, for tests.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::http::Response::new(200).with_body("ok").text(), Ok("ok"));
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Content>) -> Self {
        self.body = body.into();
        self
    }

    /// The status code.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::http::Response::new(204).status(), 204);
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is from 200 to 299.
    ///
    /// ```
    /// assert!(!mortise_sdk::http::Response::new(304).is_success());
    /// ```
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, in any case.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::http::Response::new(200).header("etag"), None);
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// ```
    /// assert!(mortise_sdk::http::Response::new(200).with_body(vec![0xff]).text().is_err());
    /// ```
    pub fn text(&self) -> Result<&str, Error> {
        self.body
            .as_text()
            .ok_or_else(|| Error::Body("it is not UTF-8 text".to_owned()))
    }

    /// The body as bytes.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::http::Response::new(200).with_body("ok").bytes(), b"ok");
    /// ```
    pub fn bytes(&self) -> &[u8] {
        self.body.as_bytes()
    }

    /// Parses the body as JSON, like [`Json`](crate::Json).
    ///
    /// ```
    /// assert!(mortise_sdk::http::Response::new(200).with_body("{").json::<bool>().is_err());
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        json::from_slice(self.bytes()).map_err(Error::Body)
    }

    /// Converts a status of 400 or above to an error.
    ///
    /// ```
    /// use mortise_sdk::http::{Error, Response};
    ///
    /// assert_eq!(Response::new(502).error_for_status(), Err(Error::Status(502)));
    /// ```
    pub fn error_for_status(self) -> Result<Self, Error> {
        if self.status >= 400 {
            Err(Error::Status(self.status))
        } else {
            Ok(self)
        }
    }
}
