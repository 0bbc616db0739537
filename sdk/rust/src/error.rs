//! The error of handlers: a problem that the caller may read, and a cause that only the log sees.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::{IntoResponse, Response, Status, db, log};

/// An error that becomes an `application/problem+json` response (RFC 9457) with `type`, `title`, `status`,
/// `code` and `detail`.
///
/// `?` turns every `std::error::Error` into a 500 `internal-error`: the cause and its sources go to the log, and
/// the caller learns nothing of them. Two refinements: a database conflict becomes a 503 `database-busy` that
/// says when to try again, and nothing else is guessed.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn parse(text: &str) -> Result<i64, Error> {
///     Ok(text.parse()?)
/// }
///
/// # let host = mortise_sdk::testing::Host::start();
/// let response = parse("seven").into_json().into_response();
/// assert_eq!(response.status(), 500);
/// assert!(!response.text().contains("invalid digit"));
/// # trait IntoJson { fn into_json(self) -> Result<Json<i64>, Error>; }
/// # impl IntoJson for Result<i64, Error> { fn into_json(self) -> Result<Json<i64>, Error> { self.map(Json) } }
/// ```
pub struct Error(Box<Problem>);

struct Problem {
    status: u16,
    code: Cow<'static, str>,
    detail: Cow<'static, str>,
    fields: Vec<(Cow<'static, str>, serde_json::Value)>,
    headers: Vec<(String, String)>,
    cause: Option<Box<dyn std::error::Error>>,
}

impl Error {
    /// Any problem: a status from 400 to 599, a stable code for programs, and a detail for people.
    ///
    /// ```
    /// use mortise_sdk::Error;
    ///
    /// let error = Error::new(402, "card-declined", "the card was declined");
    /// assert_eq!(error.code(), "card-declined");
    /// ```
    pub fn new(
        status: u16,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self(Box::new(Problem {
            status: status.clamp(400, 599),
            code: code.into(),
            detail: detail.into(),
            fields: Vec::new(),
            headers: Vec::new(),
            cause: None,
        }))
    }

    /// 400 `invalid-request`.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::bad_request("`to` is before `from`").status(), 400);
    /// ```
    pub fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "invalid-request", detail)
    }

    /// 401 `unauthenticated`.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::unauthorized("the signature is wrong").status(), 401);
    /// ```
    pub fn unauthorized(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(401, "unauthenticated", detail)
    }

    /// 403 `forbidden`.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::forbidden("not your order").status(), 403);
    /// ```
    pub fn forbidden(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, "forbidden", detail)
    }

    /// 404 `not-found`.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::not_found("no order 7").status(), 404);
    /// ```
    pub fn not_found(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(404, "not-found", detail)
    }

    /// 409 `conflict`.
    ///
    /// ```
    /// let error = mortise_sdk::Error::conflict("the last one is gone").with_code("out-of-stock");
    /// assert_eq!((error.status(), error.code()), (409, "out-of-stock"));
    /// ```
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(409, "conflict", detail)
    }

    /// 422 `unprocessable`.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::unprocessable("unknown currency").status(), 422);
    /// ```
    pub fn unprocessable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(422, "unprocessable", detail)
    }

    /// 503 `unavailable`: something that the plugin needs does not answer.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::unavailable("the rate service is down").status(), 503);
    /// ```
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(503, "unavailable", detail)
    }

    /// 500 `internal-error`. The cause is logged; the caller sees none of it.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::internal("the totals do not add up").status(), 500);
    /// ```
    pub fn internal(cause: impl Into<Box<dyn std::error::Error>>) -> Self {
        Self::new(
            500,
            "internal-error",
            "The plugin failed. The request id leads to its log.",
        )
        .with_cause(cause)
    }

    /// Replaces the code.
    ///
    /// ```
    /// # use mortise_sdk::Error;
    /// assert_eq!(Error::not_found("no product 7").with_code("unknown-product").code(), "unknown-product");
    /// ```
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.0.code = code.into();
        self
    }

    /// Adds a member to the problem's body. A value that cannot be written as JSON is left out.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// let response = Error::conflict("only two left").with_field("available", 2).into_response();
    /// assert!(response.text().contains(r#""available":2"#));
    /// ```
    #[must_use]
    pub fn with_field(mut self, name: impl Into<Cow<'static, str>>, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.0.fields.push((name.into(), value));
        }
        self
    }

    /// Adds a header to the response.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// let response = Error::unavailable("come back later").with_header("retry-after", "30").into_response();
    /// assert_eq!(response.header("retry-after"), Some("30"));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Adds what is behind the error. It is logged when the error is answered, and never sent.
    ///
    /// ```
    /// # use mortise_sdk::Error;
    /// let error = Error::unavailable("the ledger does not answer").with_cause("timeout after 2 s");
    /// assert_eq!(error.status(), 503);
    /// ```
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Box<dyn std::error::Error>>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// The status of the response.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::new(451, "withheld", "not in this country").status(), 451);
    /// ```
    pub fn status(&self) -> u16 {
        self.0.status
    }

    /// The code that programs read.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::not_found("no order 7").code(), "not-found");
    /// ```
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The detail that people read.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::not_found("no order 7").detail(), "no order 7");
    /// ```
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    fn log_cause(&self) {
        let Some(cause) = &self.0.cause else { return };
        let mut message = cause.to_string();
        let mut source = cause.source();
        while let Some(next) = source {
            message.push_str(": ");
            message.push_str(&next.to_string());
            source = next.source();
        }
        log::error(&message, &[("code", &self.0.code), ("status", &self.0.status)]);
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let is_conflict = (&error as &dyn Any)
            .downcast_ref::<db::Error>()
            .is_some_and(db::Error::is_conflict);
        if is_conflict {
            Self::new(
                503,
                "database-busy",
                "The data is being changed by another request. Try again.",
            )
            .with_header("retry-after", "1")
            .with_cause(error)
        } else {
            Self::internal(error)
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log_cause();
        // A problem of strings, a number and JSON values can always be written.
        let body = serde_json::to_string(&*self.0).unwrap_or_default();
        let mut response = Response::new(self.0.status)
            .with_header("content-type", "application/problem+json")
            .with_body(body);
        response.headers.extend(self.0.headers);
        response
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "about:blank")?;
        map.serialize_entry("title", Status(self.status).reason())?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("detail", &self.detail)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.0.status, self.0.code, self.0.detail)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Error")
            .field("status", &self.0.status)
            .field("code", &self.0.code)
            .field("detail", &self.0.detail)
            .field("cause", &self.0.cause)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_has_the_members_of_the_rfc() {
        let response = Error::conflict("gone").with_code("out-of-stock").into_response();
        assert_eq!(
            response.text(),
            r#"{"type":"about:blank","title":"Conflict","status":409,"code":"out-of-stock","detail":"gone"}"#
        );
        assert_eq!(response.header("content-type"), Some("application/problem+json"));
    }

    #[test]
    fn a_status_outside_the_error_range_is_moved_into_it() {
        assert_eq!(Error::new(200, "odd", "odd").status(), 400);
        assert_eq!(Error::new(999, "odd", "odd").status(), 599);
    }

    #[test]
    fn a_cause_is_logged_and_not_sent() {
        let host = crate::testing::Host::start();
        let response = Error::internal("the password is hunter2").into_response();
        assert!(!response.text().contains("hunter2"));
        assert!(host.logs()[0].message.contains("hunter2"));
    }

    #[test]
    fn a_database_conflict_asks_to_try_again() {
        let _host = crate::testing::Host::start();
        let response = Error::from(db::Error::Conflict("locked".into())).into_response();
        assert_eq!(
            (response.status(), response.header("retry-after")),
            (503, Some("1"))
        );
    }
}
