//! The error type of handlers: a problem that the caller reads, and a cause that is only logged.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;

use serde::ser::Serialize;
use serde_json::Value;

use crate::fields::{self, Fields};
use crate::host::{Backend, Host};
use crate::{FunctionError, IntoResponse, Response, Status, db, email, events, jobs, log};

/// An error that becomes an `application/problem+json` response (RFC 9457) with `type`, `title`,
/// `status`, `code`, `detail` and `request_id`. The `request_id` is the id of the invocation, by
/// which its log lines are found.
///
/// `?` converts every `std::error::Error` to a 500 `internal-error`. The cause and its sources are
/// logged and not sent. A database conflict becomes a 503 `database-busy`, and an unavailable
/// database or job queue a 503 `unavailable`, both with `Retry-After`.
///
/// # What the author sees
///
/// [`Display`](fmt::Display) writes the status, the code, the detail and the cause with its
/// sources, so that `log::warn!("not told: {error}")` is complete. Do not put that text into the
/// detail of another error, which callers read: use [`detail`](Self::detail) there.
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
    fields: Vec<(Cow<'static, str>, Value)>,
    headers: Fields,
    cause: Option<Box<dyn std::error::Error>>,
}

impl Error {
    /// Creates an error: a status from 400 to 599, a stable code for programs, and a detail for
    /// people.
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

    /// 503 `unavailable`: a service that the plugin needs does not answer.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::unavailable("the rate service is down").status(), 503);
    /// ```
    pub fn unavailable(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(503, "unavailable", detail)
    }

    /// 500 `internal-error`. The cause is logged and not sent.
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

    /// Adds a member to the problem's body, or replaces the one with this name. A value that cannot
    /// be written as JSON is omitted.
    ///
    /// `type` and `title` can be replaced by a text: a URI that identifies the kind of problem, and
    /// its short name. `status`, `code`, `detail` and `request_id` cannot be replaced; such a field
    /// is omitted, and a warning is logged. Every other name is allowed, including `errors` and
    /// `instance`.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// let response = Error::conflict("only two left").with_field("available", 2).into_response();
    /// assert!(response.text().contains(r#""available":2"#));
    /// ```
    #[must_use]
    pub fn with_field(mut self, name: impl Into<Cow<'static, str>>, value: impl Serialize) -> Self {
        let name = name.into();
        if let Ok(value) = serde_json::to_value(value) {
            self.0.fields.retain(|(known, _)| *known != name);
            self.0.fields.push((name, value));
        }
        self
    }

    /// Adds a header to the response. A header that may have [only one value](IntoResponse#headers)
    /// is replaced.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// let response = Error::unavailable("come back later").with_header("retry-after", "30").into_response();
    /// assert_eq!(response.header("retry-after"), Some("30"));
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        fields::put(&mut self.0.headers, name, value.into());
        self
    }

    /// Adds the cause of the error. It is logged when the response is built, and never sent.
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

    /// The code for programs.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::not_found("no order 7").code(), "not-found");
    /// ```
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The detail for people.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Error::not_found("no order 7").detail(), "no order 7");
    /// ```
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The cause of the error, which callers never see.
    ///
    /// ```
    /// # use mortise_sdk::Error;
    /// let error = Error::unavailable("the ledger does not answer").with_cause("timeout after 2 s");
    /// assert_eq!(error.cause().map(ToString::to_string).as_deref(), Some("timeout after 2 s"));
    /// assert_eq!(error.to_string(), "503 unavailable: the ledger does not answer: timeout after 2 s");
    /// ```
    pub fn cause(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_deref()
    }

    /// Converts the error for the caller of a function. The cause is logged.
    pub(crate) fn into_function_error(self) -> FunctionError {
        self.log_cause();
        let detail = self.0.detail.into_owned();
        match self.0.status {
            400 => FunctionError::InvalidInput(detail),
            _ => FunctionError::Failed(detail),
        }
    }

    /// The text for the tenant, who reads why a job failed.
    pub(crate) fn into_job_text(self) -> String {
        match self.cause() {
            Some(cause) if self.0.code == "internal-error" => with_sources(cause),
            _ => self.to_string(),
        }
    }

    fn log_cause(&self) {
        if let Some(cause) = self.cause() {
            let message = with_sources(cause);
            log::error(&message, &[("code", &self.0.code), ("status", &self.0.status)]);
        }
        for (name, _) in self.0.fields.iter().filter(|field| self.0.is_left_out(field)) {
            let message = "A problem has this member already; `with_field` does not replace it";
            log::warn(message, &[("member", name), ("code", &self.0.code)]);
        }
    }
}

/// An error and its sources in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    WithSources(error).to_string()
}

/// Formats an error and its sources in one line.
struct WithSources<'a>(&'a dyn std::error::Error);

impl fmt::Display for WithSources<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(next) = source {
            write!(formatter, ": {next}")?;
            source = next.source();
        }
        Ok(())
    }
}

/// The members that a field cannot replace.
const OWN_MEMBERS: [&str; 4] = ["status", "code", "detail", "request_id"];

impl Problem {
    /// Whether a field is omitted from the body.
    fn is_left_out(&self, (name, value): &(Cow<'static, str>, Value)) -> bool {
        match name.as_ref() {
            "type" | "title" => !value.is_string(),
            name => OWN_MEMBERS.contains(&name),
        }
    }

    /// The members of the body: each name once.
    fn members(&self, request_id: Option<String>) -> Vec<(&str, Value)> {
        let text = |text: &str| Value::from(text);
        let mut members = vec![
            ("type", text("about:blank")),
            ("title", text(Status(self.status).reason())),
            ("status", Value::from(self.status)),
            ("code", text(&self.code)),
            ("detail", text(&self.detail)),
        ];
        members.extend(request_id.map(|id| ("request_id", Value::from(id))));
        for field in self.fields.iter().filter(|field| !self.is_left_out(field)) {
            let (name, value) = (field.0.as_ref(), field.1.clone());
            match members.iter_mut().find(|(known, _)| *known == name) {
                Some(member) => member.1 = value,
                None => members.push((name, value)),
            }
        }
        members
    }
}

impl<E: std::error::Error + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        let any = &error as &dyn Any;
        match any.downcast_ref::<db::Error>() {
            Some(db::Error::Conflict(_)) => Self::new(
                503,
                "database-busy",
                "The data is being changed by another request. Try again.",
            )
            .with_header("retry-after", "1")
            .with_cause(error),
            Some(db::Error::Unavailable(_)) => {
                Self::unavailable("The data cannot be reached. Try again later.")
                    .with_header("retry-after", "10")
                    .with_cause(error)
            }
            _ if is_queue_unavailable(any) => {
                Self::unavailable("The work cannot be stored for later. Try again later.")
                    .with_header("retry-after", "10")
                    .with_cause(error)
            }
            _ => Self::internal(error),
        }
    }
}

/// Whether the error says that jobs, events and mail cannot be stored now.
fn is_queue_unavailable(error: &dyn Any) -> bool {
    matches!(error.downcast_ref(), Some(jobs::Error::Unavailable(_)))
        || matches!(error.downcast_ref(), Some(email::Error::Unavailable(_)))
        || matches!(error.downcast_ref(), Some(events::Error::Unavailable(_)))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.log_cause();
        let members = Members(self.0.members(Host::request_id()));
        // Strings, a number and JSON values can always be serialized.
        let body = serde_json::to_string(&members).unwrap_or_default();
        drop(members);
        let response = Response::new(self.0.status)
            .with_header("content-type", "application/problem+json")
            .with_body(body);
        let headers = self.0.headers.into_iter();
        headers.fold(response, |response, (name, value)| {
            response.with_header(&name, value)
        })
    }
}

/// A JSON object whose members keep their order.
struct Members<'a>(Vec<(&'a str, Value)>);

impl Serialize for Members<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.0.status, self.0.code, self.0.detail)?;
        match self.cause() {
            Some(cause) => write!(formatter, ": {}", WithSources(cause)),
            None => Ok(()),
        }
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
    fn the_request_id_is_the_one_of_the_invocation() {
        let _host = crate::testing::Host::start();
        let body: Value = Error::not_found("gone").into_response().json();
        assert_eq!(body["request_id"], crate::context::current().id);
    }

    #[test]
    fn each_member_is_there_once_and_those_of_the_error_win() {
        let host = crate::testing::Host::start();
        let response = Error::conflict("gone")
            .with_field("status", 200)
            .with_field("code", "other")
            .with_field("detail", "other")
            .with_field("request_id", "other")
            .with_field("title", "Sold out")
            .with_field("type", "https://shop.example/problems/sold-out")
            .with_field("left", 1)
            .with_field("left", 0)
            .into_response();
        let expected = format!(
            r#"{{"type":"https://shop.example/problems/sold-out","title":"Sold out","status":409,"code":"conflict","detail":"gone","request_id":"{}","left":0}}"#,
            crate::context::current().id
        );
        assert_eq!(response.text(), expected);
        let warned: Vec<_> = host
            .logs()
            .into_iter()
            .map(|line| line.fields[0].1.clone())
            .collect();
        assert_eq!(warned, ["status", "code", "detail", "request_id"]);
    }

    #[test]
    fn a_type_and_a_title_are_texts() {
        let _host = crate::testing::Host::start();
        let error = Error::conflict("gone")
            .with_field("type", 7)
            .with_field("title", [1]);
        let body: Value = error.into_response().json();
        assert_eq!(
            (&body["type"], &body["title"]),
            (&"about:blank".into(), &"Conflict".into())
        );
    }

    #[test]
    fn the_author_sees_the_cause_and_its_sources_and_the_caller_does_not() {
        let host = crate::testing::Host::start();
        let cause = db::Error::Denied("PRAGMA".into());
        let error = Error::from(cause.clone());
        assert_eq!(error.cause().map(ToString::to_string), Some(cause.to_string()));
        assert!(error.to_string().ends_with(&format!(": {cause}")), "{error}");
        let response = error.into_response();
        assert!(!response.text().contains("PRAGMA"));
        assert_eq!(host.logs()[0].message, cause.to_string());
    }

    #[test]
    fn a_header_of_one_value_replaces_the_one_of_the_problem() {
        let error = Error::conflict("gone").with_header("Content-Type", "application/vnd.shop+json");
        let response = error.into_response();
        let all: Vec<_> = response.header_all("content-type").collect();
        assert_eq!(all, ["application/vnd.shop+json"]);
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
    fn a_job_queue_that_does_not_work_asks_to_try_again() {
        let errors = [
            Error::from(jobs::Error::Unavailable("full disk".into())),
            Error::from(events::Error::Unavailable("full disk".into())),
            Error::from(email::Error::Unavailable("full disk".into())),
        ];
        for error in errors {
            assert_eq!((error.status(), error.code()), (503, "unavailable"));
        }
        assert_eq!(Error::from(jobs::Error::TooLarge).status(), 500);
    }

    #[test]
    fn a_database_that_is_busy_or_does_not_work_asks_to_try_again() {
        let host = crate::testing::Host::start();
        let busy = db::Error::Conflict("locked".into());
        let broken = db::Error::Unavailable("damaged".into());
        for (cause, code, seconds) in [(busy, "database-busy", "1"), (broken, "unavailable", "10")] {
            let logged = cause.to_string();
            let response = Error::from(cause).into_response();
            assert_eq!(
                (response.status(), response.header("retry-after")),
                (503, Some(seconds))
            );
            let body: Value = response.json();
            assert_eq!(body["code"], code);
            assert!(!response.text().contains("damaged"), "{}", response.text());
            assert_eq!(host.logs().last().map(|line| line.message.clone()), Some(logged));
        }
    }
}
