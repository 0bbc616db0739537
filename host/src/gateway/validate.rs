//! Bodies against the JSON Schemas of a route.

use crate::components::bundle::schema::Schema;
use crate::http::problem::{Code, FieldError, Problem};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

/// More places than this are not listed.
const MAX_ERRORS: usize = 20;

/// A sentence about one place is cut here: it quotes the caller's own value.
const MAX_DETAIL_BYTES: usize = 200;

/// Checks the body of a request.
pub fn request(schema: &Schema, headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if !is_json(content_type) {
        let detail = "this route takes JSON; send `content-type: application/json`";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let value = serde_json::from_slice(body)
        .map_err(|error| Problem::new(Code::InvalidRequest, format!("the body is not JSON: {error}")))?;
    if schema.is_too_much(&value) {
        let detail = "the body has too many values to be checked against the schema of this route";
        return Err(Problem::new(Code::BodyTooLarge, detail));
    }
    let errors = mismatches(schema, &value);
    if errors.is_empty() {
        return Ok(());
    }
    let detail = "the body does not match the schema of this route; `errors` says where";
    Err(Problem::new(Code::ValidationFailed, detail).with("errors", errors))
}

/// Checks the body of a response; the sentence is for the plugin's author.
pub fn response(schema: &Schema, body: &[u8]) -> Result<(), String> {
    let value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    if schema.is_too_much(&value) {
        return Err("the body has too many values to be checked against its schema".to_owned());
    }
    match mismatches(schema, &value).first() {
        None => Ok(()),
        Some(error) => Err(format!(
            "the body does not match its schema at `{}`: {}",
            error.pointer, error.detail
        )),
    }
}

fn mismatches(schema: &Schema, value: &serde_json::Value) -> Vec<FieldError> {
    let validator = schema.validator();
    if validator.is_valid(value) {
        return Vec::new();
    }
    let errors = validator.iter_errors(value).take(MAX_ERRORS).map(|error| {
        let mut detail = error.to_string();
        detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
        FieldError {
            pointer: error.instance_path().to_string(),
            detail,
        }
    });
    errors.collect()
}

fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    media_type == "application/json"
        || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        let schema = serde_json::json!({
            "type": "object",
            "properties": { "quantity": { "type": "integer", "minimum": 1 } },
            "required": ["quantity"],
            "additionalProperties": false,
        });
        Schema::compile(&schema).unwrap()
    }

    fn json() -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap())])
    }

    #[test]
    fn each_place_is_named() {
        let problem = request(&schema(), &json(), br#"{"quantity":0,"x":1}"#).unwrap_err();
        assert_eq!(problem.code(), Code::ValidationFailed);
        let value = serde_json::json!({"quantity": 0, "x": 1});
        let pointers: Vec<String> = mismatches(&schema(), &value)
            .into_iter()
            .map(|error| error.pointer)
            .collect();
        assert!(pointers.contains(&"/quantity".to_owned()), "{pointers:?}");
        assert_eq!(pointers.len(), 2);
    }

    #[test]
    fn what_is_not_json_is_told_apart_from_what_does_not_match() {
        assert_eq!(
            request(&schema(), &json(), b"{").unwrap_err().code(),
            Code::InvalidRequest
        );
        assert_eq!(
            request(&schema(), &HeaderMap::new(), b"{}").unwrap_err().code(),
            Code::UnsupportedMediaType
        );
        assert!(request(&schema(), &json(), br#"{"quantity":1}"#).is_ok());
        let deep = "[".repeat(100_000);
        assert_eq!(
            request(&schema(), &json(), deep.as_bytes()).unwrap_err().code(),
            Code::InvalidRequest
        );
    }

    #[test]
    fn a_response_is_checked_too() {
        assert!(response(&schema(), br#"{"quantity":1}"#).is_ok());
        assert!(
            response(&schema(), br#"{"quantity":"1"}"#)
                .unwrap_err()
                .contains("`/quantity`")
        );
    }
}
