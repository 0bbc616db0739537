//! The extractor of the headers of a request.

use super::FromRequest;
use crate::fields::{self, Fields};
use crate::{Error, Request};

/// All headers of the request.
///
/// Several `cookie` headers, as HTTP/2 sends them, are joined to one; [`Cookies`](super::Cookies)
/// parses it.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn agent(headers: Headers) -> String {
///     headers.get("User-Agent").unwrap_or("nobody").to_owned()
/// }
///
/// assert_eq!(agent(Headers::from([("user-agent", "curl")])), "curl");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Fields);

impl Headers {
    /// The first header of this name, in any case.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Headers::default().get("accept"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// Every header of this name, in order.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// let headers = Headers::from([("via", "a"), ("via", "b")]);
    /// assert_eq!(headers.get_all("Via").collect::<Vec<_>>(), ["a", "b"]);
    /// ```
    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &str> {
        fields::all(&self.0, name)
    }

    /// The value of a required header. Without it, the error is a 400 that names the header.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Headers::default().require("x-signature").unwrap_err().status(), 400);
    /// ```
    pub fn require(&self, name: &str) -> Result<&str, Error> {
        self.get(name)
            .ok_or_else(|| Error::bad_request(format!("the header `{name}` is missing")))
    }

    /// Names and values, in order.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Headers::from([("a", "1")]).iter().next(), Some(("a", "1")));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Headers {
    fn from(headers: [(&str, &str); N]) -> Self {
        let lowered = |(name, value): &(&str, &str)| (name.to_ascii_lowercase(), (*value).to_owned());
        let mut headers = headers.iter().map(lowered).collect();
        fields::join_cookies(&mut headers);
        Self(headers)
    }
}

impl FromRequest for Headers {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        Ok(Self(request.headers.clone()))
    }
}
