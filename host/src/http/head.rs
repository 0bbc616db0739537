//! Limits the size of a request's head: its address and its header fields.
//!
//! The HTTP layer reads heads of up to twice this size, and rejects larger ones without an
//! explanation (`connection.rs`). A slightly larger head is therefore rejected here, with a problem
//! that names the limit.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use super::problem::Problem;
use crate::domain::problem::Code;

/// The most bytes of an address.
const MAX_URI_BYTES: usize = 8 * 1024;

/// The most bytes of a head, and the most fields.
const MAX_HEAD_BYTES: usize = 32 * 1024;
const MAX_FIELDS: usize = 100;

/// The bytes of a field in addition to its name and value: `: ` and the end of the line.
const FIELD_OVERHEAD: usize = 4;

/// The approximate size of a head in bytes.
pub fn size(uri: &Uri, headers: &HeaderMap) -> usize {
    let field =
        |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + FIELD_OVERHEAD;
    uri_size(uri) + headers.iter().map(field).sum::<usize>()
}

/// Rejects a head that is too large. The caller chooses all of it.
pub fn check<B>(request: &Request<B>) -> Result<(), Problem> {
    if uri_size(request.uri()) > MAX_URI_BYTES {
        let detail = format!("the address has more than {MAX_URI_BYTES} bytes");
        return Err(Problem::new(Code::UriTooLong, detail));
    }
    if request.headers().len() > MAX_FIELDS || size(request.uri(), request.headers()) > MAX_HEAD_BYTES {
        let detail = format!("the head has more than {MAX_FIELDS} fields or {MAX_HEAD_BYTES} bytes");
        return Err(Problem::new(Code::HeadersTooLarge, detail));
    }
    Ok(())
}

fn uri_size(uri: &Uri) -> usize {
    uri.path().len() + uri.query().map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn code(uri: &str, fields: &[(&str, &str)]) -> Option<Code> {
        let request = fields
            .iter()
            .fold(Request::builder().uri(uri), |request, (name, value)| {
                request.header(*name, *value)
            });
        check(&request.body(Body::empty()).unwrap())
            .err()
            .map(|problem| problem.code())
    }

    #[test]
    fn an_address_has_an_end() {
        let fits = format!("/{}", "x".repeat(MAX_URI_BYTES - 1));
        assert_eq!(code(&fits, &[]), None);
        assert_eq!(code(&format!("{fits}x"), &[]), Some(Code::UriTooLong));
        assert_eq!(code(&format!("{fits}?x"), &[]), Some(Code::UriTooLong));
    }

    #[test]
    fn a_head_has_an_end() {
        assert_eq!(code("/", &[("a", "b"); MAX_FIELDS]), None);
        assert_eq!(
            code("/", &[("a", "b"); MAX_FIELDS + 1]),
            Some(Code::HeadersTooLarge)
        );
        let long = "x".repeat(MAX_HEAD_BYTES - "/".len() - "a".len() - FIELD_OVERHEAD);
        assert_eq!(code("/", &[("a", &long)]), None);
        assert_eq!(code("/", &[("ab", &long)]), Some(Code::HeadersTooLarge));
    }
}
