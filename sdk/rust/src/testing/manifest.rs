//! The parts of `plugin.toml` that apply in tests. The host reads the file strictly; this code
//! ignores unknown keys.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

use super::budget::Limits;
use super::jobs::{Events, JobSpec, ScheduleSpec, Subscription};
use crate::{Route as Listed, http};

#[derive(Deserialize)]
pub(super) struct Manifest {
    pub plugin: Plugin,
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    #[serde(default, rename = "function")]
    pub functions: Vec<Function>,
    #[serde(default, rename = "job")]
    pub jobs: Vec<JobSpec>,
    #[serde(default, rename = "schedule")]
    pub schedules: Vec<ScheduleSpec>,
    #[serde(default)]
    pub events: Events,
    #[serde(default, rename = "subscribe")]
    pub subscriptions: Vec<Subscription>,
    #[serde(default)]
    pub email: Email,
    pub database: Option<Database>,
    #[serde(default)]
    pub http: Http,
    #[serde(default)]
    pub secrets: Secrets,
    #[serde(default)]
    pub limits: Limits,
}

#[derive(Deserialize)]
pub(super) struct Plugin {
    pub name: String,
    pub version: String,
    #[serde(default)]
    pub contract: Contract,
}

/// The contract version of the plugin. This SDK builds for 0.2, which `mortise build` writes if the
/// key is missing.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Contract {
    #[serde(rename = "0.1")]
    V0_1,
    #[default]
    #[serde(rename = "0.2")]
    V0_2,
}

#[derive(Deserialize)]
pub(super) struct Route {
    pub method: String,
    pub path: String,
    pub auth: Auth,
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// The schema file of the request's body.
    pub request: Option<String>,
    /// The schema file of the response's body.
    pub response: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Function {
    pub name: String,
    pub auth: Auth,
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// The schema file of the input.
    pub input: String,
    /// The schema file of the output.
    pub output: String,
}

/// `"public"`, or the list of accepted credentials.
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
    pub migrations: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Email {
    pub from: Vec<String>,
    /// The folder of the templates.
    pub templates: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Http {
    #[serde(default)]
    pub allow: Vec<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Secrets {
    #[serde(default, rename = "use")]
    pub usable: Vec<Usable>,
    #[serde(default)]
    pub reveal: Vec<String>,
}

/// A secret that the plugin uses by name: for all allowed origins, or for its own list.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Usable {
    Name(String),
    Bound { name: String, origins: Vec<String> },
}

impl Usable {
    fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Bound { name, .. } => name,
        }
    }
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

    /// Fails the test if `routes!` and `plugin.toml` list different routes. The host would answer a
    /// route that is only in `routes!` with 404, and one that is only in the manifest with 500.
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

    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|function| function.name == name)
    }

    /// Fails the test if `functions!` and `plugin.toml` list different functions.
    pub fn check_functions(&self, listed: &[&str]) {
        for name in listed {
            let found = self.function(name).is_some();
            assert!(
                found,
                "functions! lists {name}, but plugin.toml has no such [[function]]"
            );
        }
        for Function { name, .. } in &self.functions {
            let found = listed.contains(&name.as_str());
            assert!(
                found,
                "plugin.toml has the [[function]] {name}, but functions! does not list it"
            );
        }
    }

    /// The jobs by their names.
    pub fn job_specs(&self) -> BTreeMap<String, JobSpec> {
        let specs = self.jobs.iter();
        specs.map(|spec| (spec.name.clone(), spec.clone())).collect()
    }

    /// Fails the test if `jobs!` and `plugin.toml` list different jobs.
    pub fn check_jobs(&self, listed: &[&str]) {
        for name in listed {
            let found = self.jobs.iter().any(|job| job.name == *name);
            assert!(found, "jobs! lists {name}, but plugin.toml has no such [[job]]");
        }
        for JobSpec { name, .. } in &self.jobs {
            let found = listed.contains(&name.as_str());
            assert!(
                found,
                "plugin.toml has the [[job]] {name}, but jobs! does not list it"
            );
        }
    }

    pub fn uses_secret(&self, name: &str) -> bool {
        self.usable(name).is_some() || self.secrets.reveal.iter().any(|revealed| revealed == name)
    }

    fn usable(&self, name: &str) -> Option<&Usable> {
        self.secrets.usable.iter().find(|usable| usable.name() == name)
    }

    /// Whether the secret may be sent with a request to this URL.
    pub fn check_secret(&self, name: &str, url: &str) -> Result<(), http::Error> {
        if !self.uses_secret(name) {
            return Err(http::Error::Denied(format!(
                "the tenant has not granted this plugin the secret `{name}`; list it under [secrets] use of plugin.toml"
            )));
        }
        match self.usable(name) {
            Some(Usable::Bound { origins, .. }) if !origins.iter().any(|origin| is_below(url, origin)) => {
                Err(http::Error::Denied(format!(
                    "the secret `{name}` is for {origins:?} and is not sent to {url}; list the origin under \
                     [secrets] use of plugin.toml"
                )))
            }
            _ => Ok(()),
        }
    }

    /// Whether the URL is below one of the allowed origins.
    pub fn check_origin(&self, url: &str) -> Result<(), http::Error> {
        if self.http.allow.iter().any(|origin| is_below(url, origin)) {
            return Ok(());
        }
        Err(http::Error::Denied(format!(
            "no origin under [http] allow of plugin.toml covers {url}"
        )))
    }
}

fn is_below(url: &str, origin: &str) -> bool {
    url.strip_prefix(origin.trim_end_matches('/'))
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        plugin = { name = "shop", version = "1.0.0" }
        http = { allow = ["https://api.example.com", "https://other.example.com"] }
        secrets = { use = ["any", { name = "one", origins = ["https://api.example.com"] }], reveal = ["seen"] }
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
    fn a_secret_is_sent_to_its_origins_only() {
        let (own, other) = ("https://api.example.com/x", "https://other.example.com/x");
        let sent = |name, url| manifest().check_secret(name, url).is_ok();
        for name in ["any", "seen"] {
            assert!(sent(name, own) && sent(name, other), "{name}");
        }
        assert!(sent("one", own) && !sent("one", other));
        assert!(!sent("one", "https://api.example.com:8443/x"));
        assert!(!sent("unknown", own));
        let error = manifest().check_secret("one", other).expect_err("it is bound");
        assert!(
            error.to_string().contains("`one`") && error.to_string().contains(other),
            "{error}"
        );
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
    #[should_panic(expected = "functions! lists a, but plugin.toml has no such [[function]]")]
    fn a_function_that_the_manifest_lacks_fails_the_test() {
        manifest().check_functions(&["a"]);
    }

    #[test]
    #[should_panic(expected = "jobs! lists a, but plugin.toml has no such [[job]]")]
    fn a_job_that_the_manifest_lacks_fails_the_test() {
        manifest().check_jobs(&["a"]);
    }

    #[test]
    #[should_panic(expected = "plugin.toml has the [[route]] GET /a")]
    fn a_route_that_the_plugin_lacks_fails_the_test() {
        manifest().check_routes(&[]);
    }
}
