//! Responses, and the types that convert to one.

use serde::Serialize;

use crate::Error;
use crate::fields::{self, Fields};

/// A value that converts to a response.
///
/// # Headers
///
/// A tuple of an array of names and values and a response adds these headers to the response, like
/// [`Response::with_header`] and [`Error::with_header`]. All headers are kept, with two exceptions.
///
/// - A header that may have only one value replaces the existing one: `content-type`,
///   `content-length`, `content-location`, `content-range`, `content-disposition`, `location`,
///   `date`, `etag`, `last-modified`, `expires`, `age`, `retry-after`, `server` and the
///   single-valued `access-control-…` headers.
///
/// - `cache-control` also replaces, because its directives would contradict each other.
///
/// Any other header may repeat, such as `set-cookie`, `link`, `vary`, `www-authenticate` and your
/// own headers.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// let inner = ([("set-cookie", "a=1"), ("cache-control", "max-age=60")], "text");
/// let outer = ([("set-cookie", "b=2"), ("set-cookie", "c=3"), ("cache-control", "no-store")], inner);
/// let response = outer.into_response();
/// assert_eq!(response.header_all("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2", "c=3"]);
/// assert_eq!(response.header_all("cache-control").collect::<Vec<_>>(), ["no-store"]);
/// ```
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// assert_eq!("text".into_response().header("content-type"), Some("text/plain; charset=utf-8"));
/// assert_eq!((Status::CREATED, Json(7)).into_response().status(), 201);
/// assert_eq!(().into_response().status(), 204);
/// ```
pub trait IntoResponse {
    /// Converts the value to a response.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Status::ACCEPTED.into_response().status(), 202);
    /// ```
    fn into_response(self) -> Response;
}

/// JSON: as an argument it parses the body, as a result it writes one.
///
/// A body that does not parse is rejected with 400 `invalid-request` and the location of the error:
/// a JSON pointer, a line and a column. Integers may be written as `5.0`, as in JSON Schema. A byte
/// order mark is skipped. The content type is not checked; a route with a schema accepts
/// `application/json` and `application/…+json`.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn double(Json(number): Json<i64>) -> Json<i64> {
///     Json(number * 2)
/// }
/// assert_eq!(double(Json(21)).0, 42);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// A status code.
///
/// ```
/// use mortise_sdk::Status;
///
/// assert_eq!(Status::NOT_FOUND, Status(404));
/// assert_eq!(Status::NOT_FOUND.reason(), "Not Found");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u16);

/// The body of a [`Response`].
///
/// ```
/// use mortise_sdk::{Body, Response};
///
/// assert_eq!(*Response::new(204).body(), Body::Empty);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// UTF-8 text.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

/// A response with a status, headers and a body.
///
/// ```
/// use mortise_sdk::Response;
///
/// let response = Response::new(200).with_header("content-type", "text/csv").with_body("id,name\n");
/// assert_eq!(response.header("Content-Type"), Some("text/csv"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Fields,
    pub(crate) body: Body,
}

impl Response {
    /// Creates a response without headers and body. The host accepts statuses from 200 to 599.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Response::new(202).status(), 202);
    /// ```
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    /// Adds a header. The name is converted to lower case. A name may repeat, unless its header may
    /// have [only one value](IntoResponse#headers).
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// let response = Response::new(201).with_header("Location", "/orders/7");
    /// assert_eq!(response.header("location"), Some("/orders/7"));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        fields::put(&mut self.headers, name, value.into());
        self
    }

    /// Sets the body: `&str`, `String`, `Vec<u8>` or [`Body`].
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// assert_eq!(Response::new(200).with_body("ok").text(), "ok");
    /// ```
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    /// Replaces the status.
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// assert_eq!(Response::new(200).with_status(201).status(), 201);
    /// ```
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The status code.
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// assert_eq!(Response::new(404).status(), 404);
    /// ```
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of this name, in any case.
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// assert_eq!(Response::new(200).header("etag"), None);
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        fields::first(&self.headers, name)
    }

    /// Every header of this name, in order.
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// let response = Response::new(200).with_header("vary", "accept").with_header("vary", "origin");
    /// assert_eq!(response.header_all("Vary").collect::<Vec<_>>(), ["accept", "origin"]);
    /// ```
    pub fn header_all(&self, name: &str) -> impl Iterator<Item = &str> {
        fields::all(&self.headers, name)
    }

    /// All headers, in order.
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// assert!(Response::new(200).headers().is_empty());
    /// ```
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body.
    ///
    /// ```
    /// # use mortise_sdk::{Body, Response};
    /// assert_eq!(*Response::new(200).with_body(vec![1]).body(), Body::Bytes(vec![1]));
    /// ```
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The body as text; empty if it is not text.
    ///
    /// ```
    /// # use mortise_sdk::Response;
    /// assert_eq!(Response::new(200).text(), "");
    /// ```
    pub fn text(&self) -> &str {
        match &self.body {
            Body::Empty => "",
            Body::Text(text) => text,
            Body::Bytes(bytes) => str::from_utf8(bytes).unwrap_or(""),
        }
    }
}

impl Status {
    /// 200.
    pub const OK: Self = Self(200);
    /// 201.
    pub const CREATED: Self = Self(201);
    /// 202.
    pub const ACCEPTED: Self = Self(202);
    /// 204.
    pub const NO_CONTENT: Self = Self(204);
    /// 303.
    pub const SEE_OTHER: Self = Self(303);
    /// 304.
    pub const NOT_MODIFIED: Self = Self(304);
    /// 400.
    pub const BAD_REQUEST: Self = Self(400);
    /// 401.
    pub const UNAUTHORIZED: Self = Self(401);
    /// 403.
    pub const FORBIDDEN: Self = Self(403);
    /// 404.
    pub const NOT_FOUND: Self = Self(404);
    /// 409.
    pub const CONFLICT: Self = Self(409);
    /// 422.
    pub const UNPROCESSABLE_CONTENT: Self = Self(422);
    /// 500.
    pub const INTERNAL_SERVER_ERROR: Self = Self(500);
    /// 502.
    pub const BAD_GATEWAY: Self = Self(502);
    /// 503.
    pub const SERVICE_UNAVAILABLE: Self = Self(503);

    /// The standard reason phrase of the code, which is also the title of a problem.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Status(418).reason(), "Client Error");
    /// ```
    pub fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            204 => "No Content",
            303 => "See Other",
            304 => "Not Modified",
            400 => "Bad Request",
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            409 => "Conflict",
            410 => "Gone",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            415 => "Unsupported Media Type",
            422 => "Unprocessable Content",
            429 => "Too Many Requests",
            500 => "Internal Server Error",
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            code if code >= 500 => "Server Error",
            code if code >= 400 => "Client Error",
            _ => "",
        }
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    fn into_response(self) -> Response {
        Response::new(204)
    }
}

impl IntoResponse for Status {
    fn into_response(self) -> Response {
        Response::new(self.0)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::new(200)
            .with_header("content-type", "text/plain; charset=utf-8")
            .with_body(self)
    }
}

impl IntoResponse for &str {
    fn into_response(self) -> Response {
        self.to_owned().into_response()
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::new(200)
            .with_header("content-type", "application/octet-stream")
            .with_body(self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_string(&self.0) {
            Ok(text) => Response::new(200)
                .with_header("content-type", "application/json")
                .with_body(text),
            Err(error) => Error::from(error).into_response(),
        }
    }
}

impl<T: IntoResponse> IntoResponse for Option<T> {
    /// `None` becomes a 404.
    fn into_response(self) -> Response {
        match self {
            Some(value) => value.into_response(),
            None => Error::not_found("there is nothing here").into_response(),
        }
    }
}

impl<T: IntoResponse, E: Into<Error>> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into().into_response(),
        }
    }
}

impl<T: IntoResponse> IntoResponse for (Status, T) {
    /// An error keeps its own status.
    fn into_response(self) -> Response {
        let response = self.1.into_response();
        if response.status >= 400 {
            response
        } else {
            response.with_status(self.0.0)
        }
    }
}

impl<K: AsRef<str>, V: Into<String>, T: IntoResponse, const N: usize> IntoResponse for ([(K, V); N], T) {
    fn into_response(self) -> Response {
        let mut response = self.1.into_response();
        for (name, value) in self.0 {
            fields::put(&mut response.headers, name.as_ref(), value.into());
        }
        response
    }
}

impl<K: AsRef<str>, V: Into<String>, T: IntoResponse, const N: usize> IntoResponse
    for (Status, [(K, V); N], T)
{
    fn into_response(self) -> Response {
        (self.0, (self.1, self.2)).into_response()
    }
}
