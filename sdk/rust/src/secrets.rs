//! The tenant's secrets, which plugins use by name. The value stays in the host unless the grant
//! includes `reveal`.

use std::fmt;

use crate::host::{Backend, Host};

/// A secret that cannot be used.
///
/// ```
/// let _host = mortise_sdk::testing::Host::start();
/// let error = mortise_sdk::secrets::reveal("payment").unwrap_err();
/// assert_eq!(error, mortise_sdk::secrets::Error::NotGranted("payment".into()));
/// assert_eq!(error.to_string(), "the tenant has not granted this use of the secret `payment`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The secret with this name is granted, but the tenant has not set it.
    NotFound(String),
    /// The tenant has not granted this use of the secret with this name.
    NotGranted(String),
    /// An error that this version of the SDK does not know.
    Other(String),
}

/// Returns the plain value. It requires the name under `reveal` in the manifest and in the grant.
///
/// ```
/// use mortise_sdk::{secrets, testing};
///
/// let _host = testing::Host::builder().secret("token", "s3cret").reveal("token").start();
/// assert_eq!(secrets::reveal("token").as_deref(), Ok("s3cret"));
/// ```
pub fn reveal(name: &str) -> Result<String, Error> {
    Host::reveal(name)
}

/// Returns the HMAC-SHA-256 of `data` with the secret as the key: 32 bytes.
///
/// ```
/// use mortise_sdk::{secrets, testing};
///
/// let _host = testing::Host::builder().secret("key", "s3cret").start();
/// assert_eq!(secrets::hmac_sha256("key", b"data").unwrap().len(), 32);
/// ```
pub fn hmac_sha256(name: &str, data: &[u8]) -> Result<Vec<u8>, Error> {
    Host::hmac_sha256(name, data)
}

/// Whether `expected` is the HMAC-SHA-256 of `data` with the secret as the key, compared in
/// constant time.
///
/// ```
/// use mortise_sdk::{secrets, testing};
///
/// let _host = testing::Host::builder().secret("key", "s3cret").start();
/// let signature = secrets::hmac_sha256("key", b"data").unwrap();
/// assert_eq!(secrets::verify_hmac_sha256("key", b"data", &signature), Ok(true));
/// assert_eq!(secrets::verify_hmac_sha256("key", b"date", &signature), Ok(false));
/// ```
pub fn verify_hmac_sha256(name: &str, data: &[u8], expected: &[u8]) -> Result<bool, Error> {
    Ok(equal_in_constant_time(&hmac_sha256(name, data)?, expected))
}

/// [`verify_hmac_sha256`] for a hexadecimal signature, as most webhooks send it. A text that is not
/// hexadecimal is not a valid signature.
///
/// ```
/// use mortise_sdk::{secrets, testing};
///
/// let _host = testing::Host::builder().secret("key", "s3cret").start();
/// assert_eq!(secrets::verify_hmac_sha256_hex("key", b"data", "nonsense"), Ok(false));
/// ```
pub fn verify_hmac_sha256_hex(name: &str, data: &[u8], expected: &str) -> Result<bool, Error> {
    let signature = hmac_sha256(name, data)?;
    Ok(decode_hex(expected).is_some_and(|expected| equal_in_constant_time(&signature, &expected)))
}

/// The length is not secret, but the position of a difference is.
fn equal_in_constant_time(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let difference = left.iter().zip(right).fold(0, |sum, (a, b)| sum | (a ^ b));
    // Without the barrier the compiler could stop the fold at the first difference.
    std::hint::black_box(difference) == 0
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        (byte as char)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(name) => {
                write!(
                    formatter,
                    "the secret `{name}` is granted, but the tenant has not set it"
                )
            }
            Self::Other(why) => write!(formatter, "the secret cannot be used: {why}"),
            Self::NotGranted(name) => {
                write!(
                    formatter,
                    "the tenant has not granted this use of the secret `{name}`"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_read_in_either_case_and_nothing_else_is() {
        assert_eq!(decode_hex("00fFa0"), Some(vec![0x00, 0xff, 0xa0]));
        assert_eq!(decode_hex("abc"), None);
        assert_eq!(decode_hex("zz"), None);
    }

    #[test]
    fn equality_needs_the_same_length_and_bytes() {
        assert!(equal_in_constant_time(b"same", b"same"));
        assert!(!equal_in_constant_time(b"same", b"sam"));
        assert!(!equal_in_constant_time(b"same", b"sane"));
    }
}
