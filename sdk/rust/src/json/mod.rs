//! Parses external JSON: request bodies and responses of other servers.
//!
//! It is parsed a second time only if the first pass fails. The second pass locates the error, and
//! accepts numbers such as `5.0` as integers, as a JSON Schema of the type `integer` does.

mod key;
mod lenient;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Deserializes a value. The error contains a JSON pointer, a line and a column.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match serde_json::from_slice(bytes) {
        Ok(value) => Ok(value),
        Err(error) if error.classify() == Category::Data => lenient::from_slice(bytes),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
