//! The request as the host hands it over.

use crate::{Content, fields};

/// A request. Handlers usually take [extractors](crate::extract) instead; this is for what those do not cover.
///
/// ```
/// use mortise_sdk::Request;
///
/// let request = Request {
///     method: "GET".into(),
///     route: "/orders/{id}".into(),
///     path: "/orders/7".into(),
///     params: vec![("id".into(), "7".into())],
///     ..Request::default()
/// };
/// assert_eq!(request.param("id"), Some("7"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Upper case, such as `GET`.
    pub method: String,
    /// The path pattern of the manifest that matched, such as `/orders/{id}`.
    pub route: String,
    /// The path below the plugin's mount point, percent-encoded, starting with `/`.
    pub path: String,
    /// The raw query string without its `?`.
    pub query: Option<String>,
    /// What the route captured, percent-decoded, in the order of the pattern.
    pub params: Vec<(String, String)>,
    /// Names are lower case and may repeat. Of `cookie` there is one at most: several are joined.
    pub headers: Vec<(String, String)>,
    /// `http` or `https`: how the plugin is reached from outside, by the configuration of the host.
    pub scheme: String,
    /// Host and port as the caller wrote them. The caller can write anything here: make links from
    /// [`base_url`](Self::base_url).
    pub authority: String,
    /// The URL below which the plugin is reached from outside, without a slash at its end.
    pub base_url: String,
    /// Text where the content type says text and the bytes are UTF-8.
    pub body: Option<Content>,
}

impl Request {
    /// One captured path parameter.
    ///
    /// ```
    /// assert_eq!(mortise_sdk::Request::default().param("id"), None);
    /// ```
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first header of this name, in any case.
    ///
    /// ```
    /// use mortise_sdk::Request;
    ///
    /// let request = Request { headers: vec![("accept".into(), "text/html".into())], ..Request::default() };
    /// assert_eq!(request.header("Accept"), Some("text/html"));
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        fields::first(&self.headers, name)
    }
}
