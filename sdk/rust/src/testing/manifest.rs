//! The parts of `plugin.toml` that hold in tests. The host reads the file strictly; this one only takes what it
//! needs.

use std::fs;
use std::path::Path;

use serde::Deserialize;

use crate::{Route as Listed, http};

#[derive(Deserialize)]
pub(super) struct Manifest {
    pub plugin: Plugin,
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    pub database: Option<Database>,
    #[serde(default)]
    pub http: Http,
    #[serde(default)]
    pub secrets: Secrets,
}

#[derive(Deserialize)]
pub(super) struct Plugin {
    pub name: String,
    pub version: String,
}

#[derive(Deserialize)]
pub(super) struct Route {
    pub method: String,
    pub path: String,
    pub auth: Auth,
    #[serde(default)]
    pub scopes: Vec<String>,
}

/// `"public"`, or the list of credentials that are accepted.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Auth {
    Public(PublicWord),
    Credentials(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PublicWord {
    Public,
}

#[derive(Deserialize)]
pub(super) struct Database {
    pub migrations: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Http {
    #[serde(default)]
    pub allow: Vec<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Secrets {
    #[serde(default, rename = "use")]
    pub usable: Vec<String>,
    #[serde(default)]
    pub reveal: Vec<String>,
}

impl Manifest {
    pub fn read(folder: &Path) -> Self {
        let path = folder.join("plugin.toml");
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("the manifest {} cannot be read: {error}", path.display()));
        toml::from_str(&text)
            .unwrap_or_else(|error| panic!("the manifest {} is broken: {error}", path.display()))
    }

    pub fn route(&self, method: &str, path: &str) -> Option<&Route> {
        self.routes
            .iter()
            .find(|route| route.method == method && route.path == path)
    }

    /// Fails the test where `routes!` and `plugin.toml` do not list the same routes: the host would answer those of
    /// the one with 404, and those of the other with 500.
    pub fn check_routes(&self, listed: &[Listed]) {
        for Listed { method, path } in listed {
            let found = self.route(method, path).is_some();
            assert!(
                found,
                "routes! lists {method} {path}, but plugin.toml has no such [[route]]"
            );
        }
        for Route { method, path, .. } in &self.routes {
            let found = listed
                .iter()
                .any(|route| route.method == method && route.path == path);
            assert!(
                found,
                "plugin.toml has the [[route]] {method} {path}, but routes! does not list it"
            );
        }
    }

    pub fn uses_secret(&self, name: &str) -> bool {
        self.secrets
            .usable
            .iter()
            .chain(&self.secrets.reveal)
            .any(|granted| granted == name)
    }

    /// Whether the URL is below one of the allowed origins.
    pub fn check_origin(&self, url: &str) -> Result<(), http::Error> {
        let below = |origin: &String| {
            url.strip_prefix(origin.trim_end_matches('/'))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        if self.http.allow.iter().any(below) {
            return Ok(());
        }
        Err(http::Error::Denied(format!(
            "no origin under [http] allow of plugin.toml covers {url}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        plugin = { name = "shop", version = "1.0.0" }
        http = { allow = ["https://api.example.com"] }
        [[route]]
        method = "GET"
        path = "/a"
        auth = "public"
    "#;

    fn manifest() -> Manifest {
        toml::from_str(TEXT).expect("the manifest above is a valid one")
    }

    #[test]
    fn only_the_allowed_origin_itself_is_allowed() {
        let allowed = |url| manifest().check_origin(url).is_ok();
        assert!(allowed("https://api.example.com/rates?a=b") && allowed("https://api.example.com"));
        for url in [
            "http://api.example.com/",
            "https://api.example.com.evil.example/",
            "https://api.example.com@evil.example/",
        ] {
            assert!(!allowed(url), "{url}");
        }
    }

    #[test]
    fn the_same_routes_pass() {
        manifest().check_routes(&[Listed {
            method: "GET",
            path: "/a",
        }]);
    }

    #[test]
    #[should_panic(expected = "routes! lists POST /a")]
    fn a_route_that_the_manifest_lacks_fails_the_test() {
        manifest().check_routes(&[Listed {
            method: "POST",
            path: "/a",
        }]);
    }

    #[test]
    #[should_panic(expected = "plugin.toml has the [[route]] GET /a")]
    fn a_route_that_the_plugin_lacks_fails_the_test() {
        manifest().check_routes(&[]);
    }
}
