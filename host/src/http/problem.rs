//! Errors for callers: `application/problem+json` (RFC 9457) with a stable code.
//!
//! A handler returns a [`Problem`]. [`rendered`], which wraps all handlers of both listeners, adds
//! the request id, logs the cause, and writes the body. The cause never leaves the host.

use std::error::Error;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::head;
use super::hint::Hint;
use crate::causes::with_causes;
use crate::domain::id::InvocationId;
use crate::domain::invocation::Blame;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;

/// The header that carries the id of a request and of its invocation.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The members that every problem has; each occurs once.
const MEMBERS: [&str; 6] = ["type", "title", "status", "code", "detail", "request_id"];

/// An error for the caller.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    extension: serde_json::Map<String, serde_json::Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
    hint: Hint,
}

/// One mismatch between a body and its schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer into the body.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Problem {
    /// A problem with a sentence for the caller. The sentence must not reveal internals of the host
    /// or data of another tenant.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            extension: Default::default(),
            headers: Vec::new(),
            cause: None,
            hint: Hint::Code(code),
        }
    }

    /// A fault of the host. The caller receives only the request id; the log has the cause.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "the host failed; its log has the cause under the request id",
        )
        .because(cause)
    }

    /// A database or a folder of the host is full, locked or damaged. It is a fault of the host
    /// that may be temporary.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Unavailable,
            "the host cannot use its storage at the moment; its log has the cause under the request id",
        )
        .retry_after(Duration::from_secs(5))
        .because(cause)
    }

    /// The resource does not exist.
    pub fn not_found(what: Resource) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}")).hint(Hint::Missing(what))
    }

    /// Sets the subject, which determines the hint of the admin API.
    pub fn hint(self, hint: Hint) -> Self {
        Self { hint, ..self }
    }

    /// Adds the member `hint`, if there is a hint. An existing member stays.
    pub fn with_hint(self) -> Self {
        match self.hint.text() {
            Some(hint) if !self.has("hint") => self.with("hint", hint),
            _ => self,
        }
    }

    /// Sets the cause, which only the log contains.
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(with_causes(&*cause.into()));
        self
    }

    /// Adds a member to the body. The members that every problem has cannot be replaced.
    pub fn with(mut self, member: &str, value: impl Serialize) -> Self {
        if !MEMBERS.contains(&member)
            && let Ok(value) = serde_json::to_value(value)
        {
            self.extension.insert(member.to_owned(), value);
        }
        self
    }

    /// Adds a header to the response.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets `Retry-After`, rounded up to seconds.
    pub fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_millis().div_ceil(1_000).max(1);
        self.header(
            RETRY_AFTER,
            HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)),
        )
    }

    /// The code of the problem.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Whether the problem has this additional member.
    pub fn has(&self, member: &str) -> bool {
        self.extension.contains_key(member)
    }

    fn body(&self, request_id: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            code: &'a str,
            detail: &'a str,
            request_id: &'a str,
            #[serde(flatten)]
            extension: &'a serde_json::Map<String, serde_json::Value>,
        }
        let body = Body {
            r#type: format!("/-/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            code: self.code.as_str(),
            detail: &self.detail,
            request_id,
            extension: &self.extension,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The response to a request whose handler panicked. The panic itself is in the host's log.
pub fn from_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
    Problem::internal(format!("a handler panicked: {message}")).into_response()
}

/// [`rendered`] as a layer: the outermost one of a listener.
pub async fn render(request: Request, next: Next) -> Response {
    rendered(request, async |_, request| next.run(request).await).await
}

/// Gives a request an id, and a problem its body. A head that is too large is rejected before
/// `answer` is called.
pub async fn rendered(
    request: Request,
    answer: impl AsyncFnOnce(InvocationId, Request) -> Response,
) -> Response {
    let id = InvocationId::generate();
    let response = match head::check(&request) {
        Ok(()) => answer(id, request).await,
        Err(problem) => problem.into_response(),
    };
    with_id(response, id)
}

/// The response to a request that is rejected before it reaches a router.
pub fn refused(problem: Problem) -> Response {
    with_id(problem.into_response(), InvocationId::generate())
}

fn with_id(mut response: Response, id: InvocationId) -> Response {
    let id = id.to_string();
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        log(&problem, &id);
        *response.body_mut() = problem.body(&id).into();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(problem.headers);
    }
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn log(problem: &Problem, request_id: &str) {
    let (code, cause) = (problem.code.as_str(), problem.cause.as_deref());
    match problem.code.blame() {
        // A problem without a cause, such as draining, was logged once when it started.
        Blame::Host if cause.is_some() => tracing::error!(
            request_id,
            code,
            cause,
            "a request failed because of a fault of the host"
        ),
        blame => tracing::debug!(request_id, code, cause, ?blame, "a request was rejected"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_stands_once_in_the_body() {
        let problem = MEMBERS
            .iter()
            .fold(Problem::not_found(Resource::Tenant), |problem, member| {
                problem.with(member, 1)
            });
        let body = String::from_utf8(problem.with("hint", "none").body("id")).unwrap();
        for member in MEMBERS.iter().chain(&["hint"]) {
            let count = body.matches(&format!("\"{member}\":")).count();
            assert_eq!(count, 1, "{member}: {body}");
        }
        assert!(body.contains("\"status\":404"), "{body}");
    }

    #[test]
    fn the_cause_is_not_in_the_body() {
        let cause = std::io::Error::other("/var/lib/mortise/secret");
        let body = Problem::internal(cause).body("id");
        assert!(!String::from_utf8(body).unwrap().contains("mortise/secret"));
    }
}
