//! The plugin's cache, which it shares with no other plugin or tenant. An entry may be evicted at
//! any time.
//!
//! ```
//! use std::time::Duration;
//! use mortise_sdk::{cache, testing};
//!
//! # fn main() -> Result<(), cache::Error> {
//! let host = testing::Host::start();
//! cache::set("greeting", "hello", Duration::from_secs(60))?;
//! assert_eq!(cache::get_text("greeting")?.as_deref(), Some("hello"));
//! host.advance(Duration::from_secs(61));
//! assert_eq!(cache::get_text("greeting")?, None);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Content;
use crate::host::{Backend, Host};

/// A cache call that failed. A plugin that works without the cache should log it and continue.
///
/// ```
/// assert_eq!(mortise_sdk::cache::Error::TooLarge.to_string(), "the value is too large for the cache");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The value is larger than the plan allows for one entry.
    TooLarge,
    /// The cache cannot be reached, or the entry is not a number.
    Unavailable(String),
    /// An error that this version of the SDK does not know.
    Other(String),
}

/// Reads an entry, if there is one.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// assert_eq!(mortise_sdk::cache::get("nothing"), Ok(None));
/// ```
pub fn get(key: &str) -> Result<Option<Content>, Error> {
    Host::cache_get(key)
}

/// Reads an entry as text. An entry that is not UTF-8 counts as missing.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::cache;
/// cache::set("a", "b", None)?;
/// assert_eq!(cache::get_text("a")?.as_deref(), Some("b"));
/// # Ok::<(), cache::Error>(())
/// ```
pub fn get_text(key: &str) -> Result<Option<String>, Error> {
    Ok(get(key)?.and_then(|content| match content {
        Content::Text(text) => Some(text),
        Content::Bytes(bytes) => String::from_utf8(bytes).ok(),
    }))
}

/// Reads an entry and parses it from JSON. An entry that does not parse counts as missing, so that
/// a new version of a plugin may change what it stores.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::cache;
/// cache::set_json("ids", &[1, 2], None)?;
/// assert_eq!(cache::get_json::<Vec<u8>>("ids")?, Some(vec![1, 2]));
/// assert_eq!(cache::get_json::<String>("ids")?, None);
/// # Ok::<(), cache::Error>(())
/// ```
pub fn get_json<T: DeserializeOwned>(key: &str) -> Result<Option<T>, Error> {
    Ok(get(key)?.and_then(|content| serde_json::from_slice(content.as_bytes()).ok()))
}

/// Stores text or bytes. Without a time to live (`None`) the entry stays until it is evicted.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::cache;
/// cache::set("raw", vec![0xff], std::time::Duration::from_secs(5))?;
/// # Ok::<(), cache::Error>(())
/// ```
pub fn set(key: &str, value: impl Into<Content>, ttl: impl Into<Option<Duration>>) -> Result<(), Error> {
    Host::cache_set(key, value.into(), milliseconds(ttl))
}

/// Stores a value as JSON.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::cache;
/// cache::set_json("rates", &[("EUR", 0.9)], std::time::Duration::from_secs(60))?;
/// # Ok::<(), cache::Error>(())
/// ```
pub fn set_json<T: Serialize + ?Sized>(
    key: &str,
    value: &T,
    ttl: impl Into<Option<Duration>>,
) -> Result<(), Error> {
    let text = serde_json::to_string(value)
        .map_err(|error| Error::Unavailable(format!("the value cannot be written as JSON: {error}")))?;
    set(key, text, ttl)
}

/// Stores the value if the key has none. Returns true if this call stored it.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::cache;
/// assert!(cache::set_if_absent("lock", "me", None)?);
/// assert!(!cache::set_if_absent("lock", "you", None)?);
/// # Ok::<(), cache::Error>(())
/// ```
pub fn set_if_absent(
    key: &str,
    value: impl Into<Content>,
    ttl: impl Into<Option<Duration>>,
) -> Result<bool, Error> {
    Host::cache_set_if_absent(key, value.into(), milliseconds(ttl))
}

/// Adds to a number, which starts from 0, and returns the sum. The time to live counts from the
/// first increment.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// # use mortise_sdk::cache;
/// assert_eq!(cache::increment("hits", 2, None)?, 2);
/// assert_eq!(cache::increment("hits", -1, None)?, 1);
/// # Ok::<(), cache::Error>(())
/// ```
pub fn increment(key: &str, delta: i64, ttl: impl Into<Option<Duration>>) -> Result<i64, Error> {
    Host::cache_increment(key, delta, milliseconds(ttl))
}

/// Removes an entry, if there is one.
///
/// ```
/// # let _host = mortise_sdk::testing::Host::start();
/// assert_eq!(mortise_sdk::cache::delete("nothing"), Ok(()));
/// ```
pub fn delete(key: &str) -> Result<(), Error> {
    Host::cache_delete(key)
}

fn milliseconds(ttl: impl Into<Option<Duration>>) -> Option<u64> {
    ttl.into()
        .map(|ttl| ttl.as_millis().try_into().unwrap_or(u64::MAX))
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => formatter.write_str("the value is too large for the cache"),
            Self::Unavailable(why) | Self::Other(why) => write!(formatter, "the cache failed: {why}"),
        }
    }
}

impl std::error::Error for Error {}
