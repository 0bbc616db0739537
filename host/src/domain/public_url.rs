//! The URL under which callers reach the public listener from outside.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use url::Url;

use super::id::{PluginName, TenantName};

/// The URL in the operator's configuration: `http`, `https`, or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConfiguredUrl(Option<Url>);

/// The base URL of the routes of all tenants.
#[derive(Debug, Default)]
pub struct PublicUrl {
    configured: ConfiguredUrl,
    listener: OnceLock<SocketAddr>,
}

impl FromStr for ConfiguredUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Ok(Self(None));
        }
        let wrong = |why: &str| format!("`{text}` is not a URL such as https://api.example.com: {why}");
        let url: Url = text
            .parse()
            .map_err(|error: url::ParseError| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(wrong("it must begin with http:// or https://"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(wrong("it must have no query, fragment or user"));
        }
        Ok(Self(Some(url)))
    }
}

impl TryFrom<String> for ConfiguredUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ConfiguredUrl> for String {
    fn from(url: ConfiguredUrl) -> Self {
        url.0.map_or_else(String::new, String::from)
    }
}

impl PublicUrl {
    /// The configured URL; without one, the listener's address once it is known.
    pub fn new(configured: ConfiguredUrl) -> Self {
        Self {
            configured,
            listener: OnceLock::new(),
        }
    }

    /// Sets the address of the public listener.
    pub fn listens_at(&self, address: SocketAddr) {
        // A host has one public listener, so a second call is ignored.
        let _ = self.listener.set(address);
    }

    /// The URL of a plugin, without a slash at its end.
    pub fn of_plugin(&self, tenant: &TenantName, plugin: &PluginName) -> String {
        format!("{self}/{tenant}/{plugin}")
    }

    /// The URL at which the receiver of a mail unsubscribes.
    pub fn of_unsubscribe(&self, tenant: &TenantName, token: &str) -> String {
        format!("{self}/{tenant}/-/unsubscribe/{token}")
    }
}

/// The URL without a slash at its end.
impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let ConfiguredUrl(Some(url)) = &self.configured {
            return f.write_str(url.as_str().trim_end_matches('/'));
        }
        match self.listener.get() {
            Some(address) => write!(f, "http://{}", reachable(*address)),
            None => f.write_str("http://127.0.0.1:8080"),
        }
    }
}

/// Replaces an unspecified address (all interfaces) by the loopback address.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_comes_before_the_listener() {
        let of = |configured: &str, listener: &str| {
            let url = PublicUrl::new(configured.parse().unwrap());
            url.listens_at(listener.parse().unwrap());
            url.of_plugin(&"acme".parse().unwrap(), &"shop".parse().unwrap())
        };
        for (configured, listener, wanted) in [
            ("", "127.0.0.1:9480", "http://127.0.0.1:9480/acme/shop"),
            ("", "0.0.0.0:80", "http://127.0.0.1:80/acme/shop"),
            ("", "[::]:80", "http://[::1]:80/acme/shop"),
            (
                "https://api.example.com",
                "0.0.0.0:80",
                "https://api.example.com/acme/shop",
            ),
            (
                "https://example.com/plugins/",
                "0.0.0.0:80",
                "https://example.com/plugins/acme/shop",
            ),
        ] {
            assert_eq!(of(configured, listener), wanted);
        }
    }

    #[test]
    fn other_text_is_no_url() {
        for text in [
            "api.example.com",
            "ftp://x",
            "https://x/?a",
            "https://me@x",
            "localhost:8080",
        ] {
            assert!(text.parse::<ConfiguredUrl>().is_err(), "{text}");
        }
    }
}
