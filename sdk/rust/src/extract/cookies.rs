//! The extractor of the cookies of a request.

use super::FromRequest;
use crate::{Error, Request, fields};

/// The cookies that the caller sent. Values are not decoded, and quotes are kept.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn theme(cookies: Cookies) -> String {
///     cookies.get("theme").unwrap_or("light").to_owned()
/// }
///
/// mortise_sdk::routes! { GET "/theme" => theme }
///
/// let host = mortise_sdk::testing::Host::start();
/// let request = host.request("GET", "/theme").header("cookie", "id=7").header("cookie", "theme=dark");
/// assert_eq!(request.send(&APP).text(), "dark");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookies(Vec<(String, String)>);

impl Cookies {
    /// The first cookie with this name. Names are case-sensitive.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Cookies::parse("id=7; theme=dark").get("theme"), Some("dark"));
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Names and values, in order. A name may repeat, because cookies can have different paths.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Cookies::parse("a=1; b=2").iter().count(), 2);
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Parses the value of a `cookie` header. Parts without a name or without `=` are skipped.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// assert_eq!(Cookies::parse("a=1; nonsense; b=x=y").get("b"), Some("x=y"));
    /// ```
    pub fn parse(header: &str) -> Self {
        let pairs = header.split(';').filter_map(|pair| pair.split_once('='));
        let trimmed = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
        Self(trimmed.filter(|(name, _)| !name.is_empty()).collect())
    }
}

impl FromRequest for Cookies {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        let all: Vec<_> = fields::all(&request.headers, "cookie").collect();
        Ok(Self::parse(&all.join(";")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_header_and_several_are_the_same() {
        let header = |value: &str| ("cookie".to_owned(), value.to_owned());
        for headers in [
            vec![header("a=1; b=\"x\"; a=2")],
            vec![header("a=1"), header("b=\"x\""), header("a=2")],
        ] {
            let mut request = Request {
                headers,
                ..Request::default()
            };
            let Ok(cookies) = Cookies::from_request(&mut request) else {
                panic!("cookies never refuse a request");
            };
            let all: Vec<_> = cookies.iter().collect();
            assert_eq!(all, [("a", "1"), ("b", "\"x\""), ("a", "2")]);
            assert_eq!(cookies.get("a"), Some("1"));
        }
    }

    #[test]
    fn what_is_no_cookie_is_left_out() {
        assert_eq!(Cookies::parse("; =x; y; ").iter().count(), 0);
        assert_eq!(Cookies::parse("empty=").get("empty"), Some(""));
        assert_eq!(Cookies::parse("Name=1").get("name"), None);
    }
}
