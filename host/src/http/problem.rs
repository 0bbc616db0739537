//! Errors as callers see them: `application/problem+json` (RFC 9457) with a stable code.
//!
//! A handler returns a [`Problem`]. [`rendered`], around everything on both listeners, gives it the request id, logs its
//! cause, and writes the body. The cause never leaves the host.

use std::error::Error;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use crate::causes::with_causes;
use crate::domain::id::InvocationId;
use crate::domain::invocation::Blame;
use crate::server::head;

/// The header that carries the id of a request and of its invocation.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal, $status:ident, $blame:ident, $title:literal;)+) => {
        /// Every code that a problem can have. Its page is `/-/problems/{code}`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All codes, in the order of their statuses.
            pub const ALL: &[Code] = &[$(Code::$name,)+];

            /// The code as callers see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $code,)+ }
            }

            /// The status that goes with it.
            pub fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)+ }
            }

            /// Whose fault it is.
            pub fn blame(self) -> Blame {
                match self { $(Code::$name => Blame::$blame,)+ }
            }

            /// A short name for people.
            pub fn title(self) -> &'static str {
                match self { $(Code::$name => $title,)+ }
            }

            /// What it means and what to do, for its page.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$name => concat!($($doc,)+),)+ }
            }
        }
    };
}

codes! {
    /// The request is malformed: its path, its query, its headers or its JSON. The detail names the place.
    InvalidRequest = "invalid-request", BAD_REQUEST, Client, "Invalid request";
    /// The body does not match the schema of the route or the function. `errors` lists where and
    /// why.
    ValidationFailed = "validation-failed", BAD_REQUEST, Client, "Validation failed";
    /// The function of the plugin cannot use its input, although that matches the schema. The
    /// detail is the plugin's.
    InvalidInput = "invalid-input", BAD_REQUEST, Client, "Invalid input";
    /// There is no credential, or it is unknown, revoked or expired.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, Client, "Unauthenticated";
    /// The credential is known but lacks a scope or a role that this needs.
    InsufficientScope = "insufficient-scope", FORBIDDEN, Client, "Insufficient scope";
    /// There is nothing here, or nothing that the caller may know of.
    NotFound = "not-found", NOT_FOUND, Client, "Not found";
    /// The path exists but not for this method. `Allow` lists those that do.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, Client, "Method not allowed";
    /// The body of the request came too slowly.
    RequestTimeout = "request-timeout", REQUEST_TIMEOUT, Client, "Request timeout";
    /// It would contradict what is there: a name that is taken, a version that is in use.
    Conflict = "conflict", CONFLICT, Client, "Conflict";
    /// The body of the request is larger than it may be. The detail says how large that is, and
    /// whose limit it is.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, Client, "Body too large";
    /// The address of the request is longer than 8 KiB.
    UriTooLong = "uri-too-long", URI_TOO_LONG, Client, "URI too long";
    /// The head of the request has more than 100 fields or 32 KiB.
    HeadersTooLarge = "headers-too-large", REQUEST_HEADER_FIELDS_TOO_LARGE, Client, "Headers too large";
    /// The body has a content type or a content coding that cannot be used here. The detail says
    /// which one can.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, Client, "Unsupported media type";
    /// The upload is not a component that this host can run. The detail names the place.
    InvalidComponent = "invalid-component", UNPROCESSABLE_ENTITY, Client, "Invalid component";
    /// The manifest inside the component is missing or wrong. The detail names the place.
    InvalidManifest = "invalid-manifest", UNPROCESSABLE_ENTITY, Client, "Invalid manifest";
    /// Compiling the component took more time or memory than an upload may.
    CompileLimit = "compile-limit", UNPROCESSABLE_ENTITY, Limit, "Compile limit";
    /// The manifest asks for what the tenant has not granted. `missing` lists it.
    GrantsMissing = "grants-missing", UNPROCESSABLE_ENTITY, Client, "Grants missing";
    /// A migration of the plugin failed, or an applied one was changed. Nothing was applied.
    MigrationFailed = "migration-failed", UNPROCESSABLE_ENTITY, Client, "Migration failed";
    /// The function of the plugin could not do what it should. The detail is the plugin's.
    FunctionFailed = "function-failed", UNPROCESSABLE_ENTITY, Guest, "The function failed";
    /// Too many requests. `Retry-After` says when to come back.
    RateLimited = "rate-limited", TOO_MANY_REQUESTS, Limit, "Rate limited";
    /// The host failed. The request id finds the cause in the operator's log.
    Internal = "internal", INTERNAL_SERVER_ERROR, Host, "Internal error";
    /// The request uses a transfer coding other than `chunked`, which this host does not decode.
    /// Send the body as it is, with `content-length` or in chunks.
    NotImplemented = "not-implemented", NOT_IMPLEMENTED, Client, "Not implemented";
    /// The plugin stopped with a fault of its own.
    PluginTrapped = "plugin-trapped", BAD_GATEWAY, Guest, "The plugin trapped";
    /// The plugin wanted more memory than its plan allows.
    PluginMemory = "plugin-memory", BAD_GATEWAY, Limit, "The plugin ran out of memory";
    /// The plugin went past a limit: of its host calls, of what one of them hands over, or of what it holds open.
    PluginLimit = "plugin-limit", BAD_GATEWAY, Limit, "The plugin went past a limit";
    /// The plugin answered something that is not an HTTP response, or one that is too large. The
    /// plugin's log says what.
    PluginInvalidResponse = "plugin-invalid-response", BAD_GATEWAY, Guest, "The plugin's response is invalid";
    /// The tenant has as many requests running and waiting as its plan allows, or the host is full.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, Limit, "Overloaded";
    /// What the host stores cannot be used at the moment. The request id finds the cause in the operator's log.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, Host, "Unavailable";
    /// The tenant or the plugin was suspended.
    PluginSuspended = "plugin-suspended", SERVICE_UNAVAILABLE, Client, "The plugin is suspended";
    /// The plugin failed on this route or in this function time after time. `Retry-After` says when
    /// it is tried again.
    PluginUnhealthy = "plugin-unhealthy", SERVICE_UNAVAILABLE, Guest, "The plugin is unhealthy";
    /// The host is shutting down and takes no new requests.
    Draining = "draining", SERVICE_UNAVAILABLE, Host, "Draining";
    /// The plugin used up its CPU time.
    PluginCpu = "plugin-cpu", GATEWAY_TIMEOUT, Limit, "The plugin ran out of CPU time";
    /// The plugin did not answer in time.
    PluginTimeout = "plugin-timeout", GATEWAY_TIMEOUT, Limit, "The plugin timed out";
}

/// The members that every problem has, each once.
const MEMBERS: [&str; 6] = ["type", "title", "status", "code", "detail", "request_id"];

/// An error on its way to a caller.
#[derive(Clone, Debug)]
pub struct Problem {
    code: Code,
    detail: String,
    extension: serde_json::Map<String, serde_json::Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    cause: Option<String>,
}

/// One place of a body that does not match its schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer into the body.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl Problem {
    /// A problem with a sentence for the caller. The sentence must hold nothing of the host or of another tenant.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            extension: Default::default(),
            headers: Vec::new(),
            cause: None,
        }
    }

    /// The host's own fault: the caller learns only the request id, the log learns the cause.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Internal,
            "the host failed; the request id finds the cause in its log",
        )
        .because(cause)
    }

    /// A database or a folder of the host is full, locked or damaged: the host's own fault, and perhaps soon over.
    pub fn unavailable(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(
            Code::Unavailable,
            "what this needs is not available at the moment; the request id finds the cause in the host's log",
        )
        .retry_after(Duration::from_secs(5))
        .because(cause)
    }

    /// Nothing is here.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// What the log is to say beyond the detail.
    pub fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(with_causes(&*cause.into()));
        self
    }

    /// A further member of the body. Those that every problem has stay as they are.
    pub fn with(mut self, member: &str, value: impl Serialize) -> Self {
        if !MEMBERS.contains(&member)
            && let Ok(value) = serde_json::to_value(value)
        {
            self.extension.insert(member.to_owned(), value);
        }
        self
    }

    /// A header of the response.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// When to come back, rounded up to seconds.
    pub fn retry_after(self, after: Duration) -> Self {
        let seconds = after.as_millis().div_ceil(1_000).max(1);
        self.header(
            RETRY_AFTER,
            HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)),
        )
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The sentence for the caller.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Whether it has this further member.
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

/// The response to a request whose handler panicked. The panic itself is in the log of the host.
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

/// Gives a request an id, and a problem its body. A head that is too large is refused before `answer` is asked.
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

/// The response to a request that reaches no router.
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
        // A problem without a cause, such as draining, was logged once when it began.
        Blame::Host if cause.is_some() => tracing::error!(
            request_id,
            code,
            cause,
            "a request failed through the host's fault"
        ),
        blame => tracing::debug!(request_id, code, cause, ?blame, "a request was refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_lists_every_code_with_its_status() {
        let document = include_str!("../../../docs/api.md");
        for code in Code::ALL {
            let (status, name) = (code.status().as_u16(), code.as_str());
            let is_row = |line: &&str| {
                line.starts_with(&format!("| {status} |")) && line.contains(&format!("`{name}`"))
            };
            assert!(
                document.lines().any(|line| is_row(&line)),
                "docs/api.md leaves out {status} `{name}`"
            );
        }
    }

    #[test]
    fn every_member_stands_once_in_the_body() {
        let problem = MEMBERS
            .iter()
            .fold(Problem::not_found("tenant"), |problem, member| {
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
