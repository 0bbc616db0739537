//! Checks bodies against the JSON Schema of a route or function, and builds the messages for
//! callers and authors.

use std::sync::Arc;

use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use mortise_validator::{is_coded, is_json_type, without_bom};

use crate::components::bundle::schema::{QuickCheck, Schema};
use crate::domain::problem::Code;
use crate::http::problem::{FieldError, Problem};
use crate::sandbox::{CheckFailure, Mismatch};

/// Checks the body of a request as far as possible without a sandbox. `kind` names the callee: a
/// route or a function. It returns the schema if the body still has to be checked in a sandbox.
pub fn request(
    schema: &Arc<Schema>,
    kind: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Option<Arc<Schema>>, Problem> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !is_json_type(content_type) {
        let detail = format!("this {kind} takes JSON; send `content-type: application/json`");
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    check_coding(kind, headers)?;
    match schema.quick_check(without_bom(body)) {
        QuickCheck::Valid => Ok(None),
        QuickCheck::NotJson(problem) => Err(not_json(&problem)),
        QuickCheck::Unknown => Ok(Some(schema.clone())),
    }
}

/// Rejects a body with a content coding. The host decodes no bodies, so it cannot check them.
fn check_coding(kind: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter();
    let Some(coding) = codings.find(|value| is_coded(value.as_bytes())) else {
        return Ok(());
    };
    let coding = String::from_utf8_lossy(coding.as_bytes());
    let detail = format!(
        "this {kind} checks its body and decodes none, so it cannot take `content-encoding: {coding}`; send the body as \
         it is"
    );
    let problem = Problem::new(Code::UnsupportedMediaType, detail);
    // RFC 9110 (12.5.3): the response names the coding that the server accepts.
    Err(problem.header(ACCEPT_ENCODING, HeaderValue::from_static("identity")))
}

/// The problem for the caller, after a failed check of the request body. `kind` names the callee.
pub fn request_problem(kind: &str, failure: CheckFailure) -> Problem {
    let limit = |code: Code, failure: CheckFailure| {
        Problem::new(code, format!("{failure}; send a smaller or simpler body"))
    };
    match failure {
        CheckFailure::Mismatch(mismatches) => mismatch(kind, mismatches),
        CheckFailure::NotJson(problem) => not_json(&problem),
        CheckFailure::Cpu(_) => limit(Code::PluginCpu, failure),
        CheckFailure::Timeout(_) => limit(Code::PluginTimeout, failure),
        CheckFailure::Memory(_) => limit(Code::PluginMemory, failure),
        CheckFailure::Stopped(_) => limit(Code::PluginLimit, failure),
        CheckFailure::NoInstance | CheckFailure::Host(_) => Problem::internal(failure.to_string()),
    }
}

/// What a caller learns if a response does not pass its check. The plugin's author finds the reason
/// in the plugin's log.
pub fn response_problem(failure: &CheckFailure) -> Problem {
    let code = match failure {
        CheckFailure::Mismatch(_) | CheckFailure::NotJson(_) => Code::PluginInvalidResponse,
        CheckFailure::Cpu(_) => Code::PluginCpu,
        CheckFailure::Timeout(_) => Code::PluginTimeout,
        CheckFailure::Memory(_) => Code::PluginMemory,
        CheckFailure::Stopped(_) => Code::PluginLimit,
        CheckFailure::NoInstance | CheckFailure::Host(_) => Code::Internal,
    };
    Problem::new(code, "the plugin's response cannot be sent").because(failure.reason())
}

fn mismatch(kind: &str, mismatches: Vec<Mismatch>) -> Problem {
    let detail = match mismatches.is_empty() {
        false => format!("the body does not match the schema of this {kind}; `errors` says where"),
        true => format!(
            "the body does not match the schema of this {kind} in so many places that they cannot be listed"
        ),
    };
    let errors = mismatches.into_iter().map(|mismatch| FieldError {
        pointer: mismatch.pointer,
        detail: mismatch.detail,
    });
    Problem::new(Code::ValidationFailed, detail).with("errors", errors.collect::<Vec<_>>())
}

/// The problem for a request body that is not JSON.
pub fn not_json(problem: &str) -> Problem {
    Problem::new(Code::InvalidRequest, format!("the body is not JSON: {problem}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::components::bundle::schema::Schemas;
    use crate::domain::manifest::Manifest;
    use crate::domain::units::ByteSize;

    fn schema() -> Arc<Schema> {
        let manifest = Manifest::parse("[plugin]\nname = 'p'\nversion = '1'").unwrap();
        let text = r#"{"required": ["quantity"]}"#.to_owned();
        let mut schemas = Schemas::of(&manifest, [("s.json".to_owned(), text)].into());
        schemas.remove("s.json").unwrap()
    }

    fn headers(content_type: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, content_type.parse().unwrap())])
    }

    fn code(content_type: &str, body: &[u8]) -> Option<Code> {
        let looked_at = request(&schema(), "route", &headers(content_type), body);
        looked_at.err().map(|problem| problem.code())
    }

    #[test]
    fn a_body_that_is_no_json_is_told_apart_from_one_that_is_called_something_else() {
        for content_type in [
            "application/json; charset=utf-8",
            "application/vnd.api+JSON",
            "model/gltf+json",
            "text/x+json",
        ] {
            assert_eq!(code(content_type, br#"{"quantity":1}"#), None);
            assert_eq!(code(content_type, b"{"), Some(Code::InvalidRequest));
        }
        for content_type in ["text/plain", "text/+json", "+json", "application/jsonx", ""] {
            assert_eq!(
                code(content_type, b"{}"),
                Some(Code::UnsupportedMediaType),
                "{content_type}"
            );
        }
    }

    #[test]
    fn a_coded_body_is_refused_by_the_name_of_its_coding() {
        for (coding, is_taken) in [("identity", true), ("", true), ("gzip", false), ("br", false)] {
            let mut headers = headers("application/json");
            headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
            let looked_at = request(&schema(), "route", &headers, br#"{"quantity":1}"#);
            match looked_at {
                Ok(_) => assert!(is_taken, "{coding}"),
                Err(problem) => {
                    assert!(!is_taken, "{coding}");
                    assert_eq!(problem.code(), Code::UnsupportedMediaType);
                    let text = format!("{problem:?}");
                    assert!(text.contains(&format!("`content-encoding: {coding}`")), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_json() {
        assert_eq!(code("application/json", b"\xef\xbb\xbf{\"quantity\":1}"), None);
        assert_eq!(
            code("application/json", b"\xef\xbb\xbf"),
            Some(Code::InvalidRequest)
        );
        assert_eq!(
            code("application/json", b"{\"quantity\":1}\xef\xbb\xbf"),
            Some(Code::InvalidRequest)
        );
    }

    #[test]
    fn only_a_body_that_the_host_found_to_match_needs_no_sandbox() {
        let look = |body: &[u8]| request(&schema(), "route", &headers("application/json"), body).unwrap();
        assert!(look(br#"{"quantity":1}"#).is_none());
        assert!(look(b"{}").is_some());
    }

    #[test]
    fn a_check_that_went_past_a_limit_is_the_limits_fault() {
        let second = Duration::from_secs(1);
        for (failure, code) in [
            (CheckFailure::Cpu(second), Code::PluginCpu),
            (CheckFailure::Timeout(second), Code::PluginTimeout),
            (CheckFailure::Memory(ByteSize(1)), Code::PluginMemory),
            (CheckFailure::Stopped("deep".to_owned()), Code::PluginLimit),
        ] {
            assert_eq!(response_problem(&failure).code(), code);
            assert_eq!(request_problem("route", failure).code(), code);
        }
    }

    #[test]
    fn a_body_that_does_not_match_is_the_fault_of_who_sent_it() {
        let mismatch = || {
            CheckFailure::Mismatch(vec![Mismatch {
                pointer: "/quantity".to_owned(),
                detail: "too small".to_owned(),
            }])
        };
        assert_eq!(
            request_problem("route", mismatch()).code(),
            Code::ValidationFailed
        );
        assert_eq!(response_problem(&mismatch()).code(), Code::PluginInvalidResponse);
        assert_eq!(
            mismatch().reason(),
            "the body does not match its schema at `/quantity`: too small"
        );
    }
}
