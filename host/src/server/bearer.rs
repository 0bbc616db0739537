//! Reads the credential from an `Authorization` header (RFC 6750).

use http::HeaderValue;

/// The credential, if the scheme is `Bearer`.
pub fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}
