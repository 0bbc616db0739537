//! The credential in an `Authorization` header (RFC 6750).

use http::HeaderValue;

/// What follows `Bearer`, where that is the scheme.
pub fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}
