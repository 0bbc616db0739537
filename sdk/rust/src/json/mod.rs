//! JSON that came from outside: a body of a request, a response of another server.
//!
//! It is read twice only if the first reading fails. The second one finds the place of the mistake,
//! and takes numbers such as `5.0` for integers: JSON knows one kind of number, and a JSON Schema
//! of the type `integer` accepts them.

mod key;
mod lenient;

use serde::de::DeserializeOwned;
use serde_json::error::Category;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a value. The error says where it went wrong: a JSON pointer, a line and a column.
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
