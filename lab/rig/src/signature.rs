//! Signs webhooks as their senders do.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// The header `stripe-signature` of a body at a time in seconds since 1970.
pub fn stripe(secret: &str, at: u64, body: &str) -> String {
    format!("t={at},v1={}", sha256(secret, &format!("{at}.{body}")))
}

/// The header `x-hub-signature-256` of a body.
pub fn github(secret: &str, body: &str) -> String {
    format!("sha256={}", sha256(secret, body))
}

/// The HMAC with SHA-256 in hexadecimal digits.
fn sha256(key: &str, text: &str) -> String {
    use std::fmt::Write as _;
    // An HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.as_bytes()) else {
        return String::new();
    };
    mac.update(text.as_bytes());
    let mut digits = String::new();
    for byte in mac.finalize().into_bytes() {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed() {
        // RFC 4231, test case 2.
        let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(
            github("Jefe", "what do ya want for nothing?"),
            format!("sha256={digest}")
        );
        assert!(stripe("s", 17, "{}").starts_with("t=17,v1="));
    }
}
