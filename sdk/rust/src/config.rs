//! The plugin's settings, which the tenant sets. They are plain text: use
//! [`secrets`](crate::secrets) for secrets.

use std::fmt;
use std::str::FromStr;

use crate::host::{Backend, Host};

/// A setting that is missing or invalid.
///
/// ```
/// let _host = mortise_sdk::testing::Host::start();
/// let error = mortise_sdk::config::require("rates_url").unwrap_err();
/// assert_eq!(error.to_string(), "the setting `rates_url` is missing");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The tenant has not set it.
    Missing(String),
    /// The value is not what the plugin expects: the key and the reason.
    Invalid(String, String),
}

/// Reads a setting, if the tenant has set it.
///
/// ```
/// use mortise_sdk::{config, testing};
///
/// let _host = testing::Host::builder().config("currency", "EUR").start();
/// assert_eq!(config::get("currency").as_deref(), Some("EUR"));
/// ```
pub fn get(key: &str) -> Option<String> {
    Host::config(key)
}

/// Reads a required setting.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn rates_url() -> Result<String, Error> {
///     Ok(config::require("rates_url")?)
/// }
/// # let _host = mortise_sdk::testing::Host::builder().config("rates_url", "https://r.example").start();
/// # assert_eq!(rates_url().unwrap(), "https://r.example");
/// ```
pub fn require(key: &str) -> Result<String, Error> {
    get(key).ok_or_else(|| Error::Missing(key.to_owned()))
}

/// Reads a setting and parses it.
///
/// ```
/// use mortise_sdk::{config, testing};
///
/// let _host = testing::Host::builder().config("page_size", "50").start();
/// assert_eq!(config::get_as::<u32>("page_size"), Ok(Some(50)));
/// assert!(config::get_as::<bool>("page_size").is_err());
/// ```
pub fn get_as<T: FromStr>(key: &str) -> Result<Option<T>, Error>
where
    T::Err: fmt::Display,
{
    let Some(text) = get(key) else { return Ok(None) };
    text.parse()
        .map(Some)
        .map_err(|error: T::Err| Error::Invalid(key.to_owned(), error.to_string()))
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(key) => write!(formatter, "the setting `{key}` is missing"),
            Self::Invalid(key, why) => write!(formatter, "the setting `{key}` cannot be read: {why}"),
        }
    }
}

impl std::error::Error for Error {}
