//! The request as the host passes it to the plugin.

use crate::{Content, fields};

/// A request. Handlers usually take [extractors](crate::extract); use this type for what they do
/// not cover.
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
    /// The method in upper case, such as `GET`.
    pub method: String,
    /// The path pattern of the manifest that matched, such as `/orders/{id}`.
    pub route: String,
    /// The path below the plugin's mount point, percent-encoded, starting with `/`.
    pub path: String,
    /// The raw query string without its `?`.
    pub query: Option<String>,
    /// The captured path parameters, percent-decoded, in the order of the pattern.
    pub params: Vec<(String, String)>,
    /// The headers. Names are in lower case and may repeat; several `cookie` headers are joined.
    pub headers: Vec<(String, String)>,
    /// `http` or `https`: the public scheme of the plugin's URL, by the configuration of the host.
    pub scheme: String,
    /// Host and port as the caller sent them. The caller controls this value: build links from
    /// [`base_url`](Self::base_url).
    pub authority: String,
    /// The public base URL of the plugin, without a trailing slash.
    pub base_url: String,
    /// The body: text if the content type is textual and the bytes are UTF-8, otherwise bytes.
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
