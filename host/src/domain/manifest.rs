//! The manifest `plugin.toml`: what a plugin is and what it asks for. It is embedded in the
//! component.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::function::Function;
use super::id::PluginName;
use super::job::JobSpec;
use super::lenient;
use super::limits::LimitOverrides;
use super::manifest_background::{self, EventsSection, Subscription};
use super::manifest_checks;
use super::manifest_email::{self, EmailSection};
use super::origin::Origin;
use super::path::{self, AmbiguousPath};
use super::schedule::ScheduleSpec;
use super::secret::{SecretOrigins, UsableSecrets};
use super::units::Span;

/// A plugin's manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The plugin's name, version and description.
    pub plugin: PluginSection,
    /// The routes that the plugin serves.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    /// The functions that the plugin declares.
    #[serde(default, rename = "function")]
    pub functions: Vec<Function>,
    /// The kinds of jobs that the plugin runs.
    #[serde(default, rename = "job")]
    pub jobs: Vec<JobSpec>,
    /// The schedules that add jobs.
    #[serde(default, rename = "schedule")]
    pub schedules: Vec<ScheduleSpec>,
    /// The events that the plugin publishes.
    #[serde(default)]
    pub events: EventsSection,
    /// The events that the plugin gets as jobs.
    #[serde(default, rename = "subscribe")]
    pub subscriptions: Vec<Subscription>,
    /// Mail that the plugin sends.
    #[serde(default)]
    pub email: EmailSection,
    /// Present if the plugin uses the tenant's database.
    pub database: Option<DatabaseSection>,
    /// Origins that the plugin sends requests to.
    #[serde(default)]
    pub http: HttpSection,
    /// Secrets that the plugin uses.
    #[serde(default)]
    pub secrets: SecretsSection,
    /// Limits of an invocation, lower than the plan's.
    #[serde(default)]
    pub limits: LimitOverrides,
}

/// The plugin's name, version and description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginSection {
    /// The name within the tenant.
    pub name: PluginName,
    /// The author's name for this version, such as `1.2.0`.
    pub version: String,
    /// The contract version that the plugin is written for.
    #[serde(default)]
    pub contract: Contract,
    /// A description for people, one sentence.
    pub description: Option<String>,
    /// Whether an instance may serve several requests one after another. The plugin's memory is
    /// kept between them, also if they come from different callers.
    #[serde(default)]
    pub reuse: bool,
}

/// A version of the contract between plugins and hosts. Some parts of a manifest depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Contract {
    /// `format` in a schema is not checked. Activation warns about database columns that convert
    /// text to numbers.
    #[default]
    #[serde(rename = "0.1")]
    V0_1,
    /// `format` in a schema is checked. Migrations with columns that convert text to numbers are
    /// refused.
    #[serde(rename = "0.2")]
    V0_2,
}

impl Contract {
    /// All versions, the newest last.
    pub const ALL: [Self; 2] = [Self::V0_1, Self::V0_2];

    /// The version as it is written in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1 => "0.1",
            Self::V0_2 => "0.2",
        }
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A route that the plugin serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The method, upper case.
    pub method: String,
    /// The path below the plugin's mount point: `/orders/{id}`, `/files/{*rest}`.
    pub path: String,
    /// Kinds of credentials that the route accepts, or `public`.
    pub auth: Auth,
    /// Scopes that the caller needs. It needs all of them.
    #[serde(default)]
    pub scopes: BTreeSet<String>,
    /// Path of the request body's JSON Schema inside the plugin.
    pub request: Option<String>,
    /// Path of the response body's JSON Schema inside the plugin.
    pub response: Option<String>,
    /// How often each principal may call.
    pub rate: Option<Rate>,
}

/// Who may call a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "auth is \"public\" or a list such as [\"api-key\"]")]
pub enum Auth {
    /// Everybody.
    Public(Public),
    /// Holders of one of these credentials.
    AnyOf(Vec<CredentialKind>),
}

/// The word `public`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Public {
    /// Everybody may call.
    Public,
}

/// A kind of credential that a route accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialKind {
    /// An API key of the tenant.
    ApiKey,
}

/// A rate of calls, written `100/min`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The number of calls.
    pub calls: NonZeroU32,
    /// The time within which they are counted.
    pub per: Span,
}

/// How the plugin uses the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSection {
    /// Folder of the migrations: `0001_name.sql` and so on.
    pub migrations: Option<String>,
}

/// Outbound HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// Origins that the plugin sends requests to.
    pub allow: Vec<Origin>,
}

/// Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecretsSection {
    /// Secrets that the plugin uses by name, each for its origins.
    #[serde(rename = "use")]
    pub usable: UsableSecrets,
    /// Secrets that the plugin reads as plain text.
    pub reveal: Vec<String>,
}

/// Why a manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The text is not TOML, or does not have the form of a manifest.
    #[error("plugin.toml: {0}")]
    Form(String),
    /// The manifest is well formed, but a value is not valid.
    #[error("plugin.toml: {place}: {problem}")]
    Meaning {
        /// The key, such as `route[2].path`.
        place: String,
        /// What is wrong with the value.
        problem: String,
    },
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The most routes of a plugin. The routing table of every active version is held in memory.
const MAX_ROUTES: usize = 500;

/// The most functions of a plugin, for the same reason.
const MAX_FUNCTIONS: usize = 500;

/// The longest path of a route, in bytes.
const MAX_PATTERN_BYTES: usize = 512;

/// The most parameters of a route, as many as the path matcher can name.
const MAX_PARAMETERS: usize = 25;

impl Manifest {
    /// Parses and checks a manifest.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let manifest: Manifest = toml::from_str(text)
            .map_err(|error| ManifestError::Form(error.to_string().trim_end().to_owned()))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Parses the manifest of a stored version. It was checked at its upload, so newer checks and
    /// unknown keys of a later host do not make it unavailable.
    pub fn stored(text: &str) -> Result<Self, ManifestError> {
        let form =
            |error: &dyn std::fmt::Display| ManifestError::Form(error.to_string().trim_end().to_owned());
        let value = toml::from_str::<serde_json::Value>(text).map_err(|error| form(&error))?;
        lenient::from_value(value).map_err(|error| form(&error))
    }

    /// Checks the values of a parsed manifest.
    pub fn check(&self) -> Result<(), ManifestError> {
        if self.plugin.version.is_empty() || self.plugin.version.len() > 64 {
            return Err(meaning("plugin.version", "1 to 64 characters are needed"));
        }
        if let Some(limit) = self.limits.changed_of_tenant() {
            return Err(meaning(
                format!("limits.{limit}"),
                "this limit is the tenant's; a plugin can lower only those of an invocation",
            ));
        }
        self.check_secrets()?;
        if self.routes.len() > MAX_ROUTES {
            return Err(meaning(
                "route",
                format!("{} routes are more than {MAX_ROUTES}", self.routes.len()),
            ));
        }
        let mut router = matchit::Router::new();
        let mut seen = BTreeSet::new();
        for (index, route) in self.routes.iter().enumerate() {
            let place = |field: &str| format!("route[{index}].{field}");
            if !METHODS.contains(&route.method.as_str()) {
                let problem = format!("`{}` is not one of {}", route.method, METHODS.join(", "));
                return Err(meaning(place("method"), problem));
            }
            let pattern = route
                .pattern()
                .map_err(|problem| meaning(place("path"), problem))?;
            match router.insert(pattern.as_str(), ()) {
                Ok(()) => {}
                Err(matchit::InsertError::Conflict { with }) if with == pattern => {}
                Err(error) => return Err(meaning(place("path"), error.to_string())),
            }
            if !seen.insert((&route.method, pattern)) {
                return Err(meaning(
                    place("path"),
                    format!("{} {} is defined twice", route.method, route.path),
                ));
            }
            route
                .auth
                .check(&route.scopes, "route")
                .map_err(|(field, problem)| meaning(place(field), problem))?;
        }
        self.check_functions()?;
        manifest_background::check(self)?;
        manifest_email::check(self)?;
        manifest_checks::check(self)
    }

    fn check_functions(&self) -> Result<(), ManifestError> {
        let count = self.functions.len();
        if count > MAX_FUNCTIONS {
            let problem = format!("{count} functions are more than {MAX_FUNCTIONS}");
            return Err(meaning("function", problem));
        }
        let mut seen = BTreeSet::new();
        for (index, function) in self.functions.iter().enumerate() {
            let place = |field: &str| format!("function[{index}].{field}");
            if !seen.insert(&function.name) {
                return Err(meaning(
                    place("name"),
                    format!("{} is defined twice", function.name),
                ));
            }
            function
                .auth
                .check(&function.scopes, "function")
                .map_err(|(field, problem)| meaning(place(field), problem))?;
        }
        Ok(())
    }

    /// All limits that the manifest sets, with their keys: those of the plugin, and those of
    /// functions.
    pub fn all_limits(&self) -> Vec<(String, LimitOverrides)> {
        let functions = self.functions.iter().enumerate();
        let functions = functions
            .map(|(index, function)| (format!("function[{index}].limits"), function.limits.overrides()));
        std::iter::once(("limits".to_owned(), self.limits.clone()))
            .chain(functions)
            .collect()
    }

    fn check_secrets(&self) -> Result<(), ManifestError> {
        for (name, origins) in self.secrets.usable.iter() {
            let SecretOrigins::Only(origins) = origins else {
                continue;
            };
            if let Some(origin) = origins.iter().find(|origin| !self.http.allow.contains(origin)) {
                return Err(meaning(
                    "secrets.use",
                    format!("the secret `{name}` is for {origin}, which is not under [http] allow"),
                ));
            }
        }
        Ok(())
    }
}

impl Auth {
    /// Refuses requirements that no caller could meet. The error is a field and a sentence for the
    /// plugin's author. `what` names the kind of entry in that sentence.
    fn check(&self, scopes: &BTreeSet<String>, what: &str) -> Result<(), (&'static str, String)> {
        match self {
            Self::AnyOf(kinds) if kinds.is_empty() => Err((
                "auth",
                "the list is empty; write \"public\" to let everybody call".to_owned(),
            )),
            Self::Public(_) if !scopes.is_empty() => Err((
                "scopes",
                format!("a public {what} has no caller that could hold scopes"),
            )),
            Self::Public(_) | Self::AnyOf(_) => Ok(()),
        }
    }
}

impl Route {
    /// The pattern for decoded request paths. Escapes are decoded, so that `/ü` and `/%C3%BC` are
    /// the same route. The error is a sentence for the plugin's author.
    pub fn pattern(&self) -> Result<String, String> {
        let path = &self.path;
        if let Some(name) = path.split('/').find_map(|segment| segment.strip_prefix(':')) {
            return Err(format!("`:{name}` is no parameter; write `{{{name}}}`"));
        }
        if !path.starts_with('/') {
            return Err(format!("`{path}` does not start with `/`"));
        }
        if path.len() > MAX_PATTERN_BYTES {
            return Err(format!("the pattern is longer than {MAX_PATTERN_BYTES} bytes"));
        }
        let parameters = path.replace("{{", "").matches('{').count();
        if parameters > MAX_PARAMETERS {
            return Err(format!(
                "`{path}` has {parameters} parameters, and a route has at most {MAX_PARAMETERS}"
            ));
        }
        let unmatched = |why| format!("`{path}` has {why}, which no request path can match");
        match path::check(path) {
            // Stored manifests of earlier hosts may contain a backslash. No request path matches
            // it.
            Ok(()) | Err(AmbiguousPath::Backslash) => {}
            Err(why) => return Err(unmatched(why)),
        }
        // Encoded braces are literal text. A pattern writes a literal brace twice.
        let text = path.replace("%7B", "{{").replace("%7b", "{{");
        let text = text.replace("%7D", "}}").replace("%7d", "}}");
        let decoded = path::decode(&text).map_err(unmatched)?;
        Ok(decoded.into_owned())
    }
}

impl Rate {
    const SPANS: [(&str, Span); 3] = [("s", Span::s(1)), ("min", Span::s(60)), ("h", Span::s(3_600))];
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(calls, span)| {
            let (_, per) = Self::SPANS.iter().find(|(name, _)| *name == span)?;
            Some(Self {
                calls: calls.parse().ok()?,
                per: *per,
            })
        });
        parsed.ok_or_else(|| format!("`{text}` is not a rate such as `10/s`, `100/min` or `1000/h`"))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = Self::SPANS.iter().find(|(_, span)| *span == self.per);
        write!(formatter, "{}/{}", self.calls, name.map_or("s", |(name, _)| name))
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// An error for a value that is not valid.
pub(crate) fn meaning(place: impl Into<String>, problem: impl Into<String>) -> ManifestError {
    ManifestError::Meaning {
        place: place.into(),
        problem: problem.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::units::ByteSize;

    fn with_route(route: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(&format!(
            "[plugin]\nname = 'orders'\nversion = '1.2.0'\n[[route]]\n{route}"
        ))
    }

    #[test]
    fn a_full_manifest_is_read() {
        let manifest = Manifest::parse(
            r#"
            [plugin]
            name = "orders"
            version = "1.2.0"

            [[route]]
            method = "POST"
            path = "/orders/{id}"
            auth = ["api-key"]
            scopes = ["orders:write"]
            request = "schemas/new-order.json"
            rate = "100/min"

            [database]
            migrations = "migrations"

            [http]
            allow = ["https://api.stripe.com"]

            [secrets]
            use = ["stripe_key"]

            [limits]
            memory = "32MiB"
            sql_rows = 100
            "#,
        )
        .unwrap();
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
        let route = &manifest.routes[0];
        assert_eq!(route.auth, Auth::AnyOf(vec![CredentialKind::ApiKey]));
        assert_eq!(route.rate.unwrap().calls.get(), 100);
        assert_eq!(manifest.limits.memory, Some(ByteSize::mib(32)));
        assert_eq!(manifest.limits.sql_rows, Some(100));
    }

    #[test]
    fn a_stored_manifest_is_read_whatever_was_added_since() {
        let text = r#"
            later = true
            [plugin]
            name = "orders"
            version = ""
            color = "red"
            [[route]]
            method = "FETCH"
            path = "no-slash"
            auth = ["api-key"]
            rate = "10/s"
            cache = { max_age = "60s" }
            [database]
            migrations = "migrations"
            engine = "postgres"
            [limits]
            memory = "32MiB"
            sockets = 3
            "#;
        assert!(Manifest::parse(text).is_err());
        let manifest = Manifest::stored(text).unwrap();
        let route = &manifest.routes[0];
        assert_eq!(
            (route.method.as_str(), route.rate.unwrap().calls.get()),
            ("FETCH", 10)
        );
        assert_eq!(route.auth, Auth::AnyOf(vec![CredentialKind::ApiKey]));
        assert_eq!(manifest.limits.memory, Some(ByteSize::mib(32)));
        for damaged in ["", "[plugin", "[plugin]\nname = 1\nversion = '1'", "plugin = []"] {
            assert!(Manifest::stored(damaged).is_err(), "{damaged}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            (
                "method = 'FETCH'\npath = '/'\nauth = 'public'",
                "route[0].method: `FETCH` is not one of",
            ),
            (
                "method = 'GET'\npath = 'x'\nauth = 'public'",
                "route[0].path: `x` does not start with `/`",
            ),
            (
                "method = 'GET'\npath = '/a/../b'\nauth = 'public'",
                "route[0].path",
            ),
            (
                "method = 'GET'\npath = '/'\nauth = 'public'\nrate = '0/s'",
                "`0/s` is not a rate",
            ),
            (
                "method = 'GET'\npath = '/a/:id'\nauth = 'public'",
                "route[0].path: `:id` is no parameter; write `{id}`",
            ),
            ("method = 'GET'\npath = '/{a'\nauth = 'public'", "route[0].path"),
            (
                "method = 'GET'\npath = '/'\nauth = []",
                "route[0].auth: the list is empty",
            ),
            (
                "method = 'GET'\npath = '/'\nauth = 'none'",
                "auth is \"public\" or a list",
            ),
            (
                "method = 'GET'\npath = '/'\nauth = 'public'\nscopes = ['x']",
                "route[0].scopes",
            ),
            (
                "method = 'GET'\npath = '/'\nauth = 'public'\nrate = 'often'",
                "`often` is not a rate",
            ),
            (
                "method = 'GET'\npath = '/'\nauth = 'public'\nidempotent = true",
                "unknown field `idempotent`",
            ),
            (
                "method = 'GET'\npath = '/'\nauth = 'public'\n[[route]]\nmethod = 'GET'\npath = '/'\nauth = 'public'",
                "route[1].path: GET / is defined twice",
            ),
        ];
        for (route, wanted) in cases {
            let error = with_route(route).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error} does not contain {wanted}");
        }
    }

    #[test]
    fn secrets_are_bound_to_origins_that_the_plugin_asks_for() {
        let with = |origins: &str| {
            Manifest::parse(&format!(
                "[plugin]\nname = 'p'\nversion = '1'\n[http]\nallow = ['https://a.example']\n\
                 [secrets]\nuse = ['plain', {{ name = 'bound', origins = {origins} }}]\n"
            ))
            .map(|manifest| manifest.secrets.usable)
            .map_err(|error| error.to_string())
        };
        let usable = with("['https://A.example:443']").unwrap();
        assert_eq!(usable.origins("plain"), Some(&SecretOrigins::Granted));
        let bound = ["https://a.example".parse().unwrap()].into();
        assert_eq!(usable.origins("bound"), Some(&SecretOrigins::Only(bound)));
        assert!(with("[]").is_ok(), "for signatures only");
        for (origins, wanted) in [
            (
                "['https://b.example']",
                "plugin.toml: secrets.use: the secret `bound` is for https://b.example, which is not under [http] allow",
            ),
            ("['http://a.example']", "which is not under [http] allow"),
            ("['https://a.example/path']", "more than an origin"),
            ("'https://a.example'", "expected a sequence"),
        ] {
            let error = with(origins).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn the_tenants_limits_are_not_a_plugins() {
        let error = Manifest::parse("[plugin]\nname = 'orders'\nversion = '1'\n[limits]\nconcurrency = 1")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "plugin.toml: limits.concurrency: this limit is the tenant's; a plugin can lower only those of an invocation"
        );
    }

    #[test]
    fn a_path_is_the_same_however_it_is_encoded() {
        let pattern = |path: &str| {
            with_route(&format!("method = 'GET'\npath = '{path}'\nauth = 'public'"))
                .map(|manifest| manifest.routes[0].pattern().unwrap())
        };
        for (path, wanted) in [
            ("/ü", "/ü"),
            ("/%C3%BC", "/ü"),
            ("/%61dmin/{*rest}", "/admin/{*rest}"),
            ("/%7Bid%7d/{id}", "/{{id}}/{id}"),
            ("/100%25", "/100%"),
            ("/a%20b", "/a b"),
        ] {
            assert_eq!(pattern(path).unwrap(), wanted, "{path}");
        }
        for path in ["/%2e%2E", "/a%2Fb", "/%", "/%C3", "/a//b"] {
            assert!(pattern(path).is_err(), "{path}");
        }
        let parameters = |count: usize| {
            (0..count)
                .map(|number| format!("/{{p{number}}}"))
                .collect::<String>()
        };
        for count in [24, 25] {
            let pattern = pattern(&parameters(count)).unwrap();
            assert!(matchit::Router::new().insert(pattern, ()).is_ok(), "{count}");
        }
        assert!(pattern(&parameters(26)).is_err());
        let route = |path: &str| format!("method = 'GET'\npath = '{path}'\nauth = 'public'\n");
        let twice = format!("{}[[route]]\n{}", route("/ü"), route("/%C3%BC"));
        let error = with_route(&twice).unwrap_err().to_string();
        assert!(
            error.contains("route[1].path: GET /%C3%BC is defined twice"),
            "{error}"
        );
    }

    #[test]
    fn a_function_is_read_and_checked() {
        let with = |function: &str| {
            Manifest::parse(&format!(
                "[plugin]\nname = 'p'\nversion = '1'\n[[function]]\n{function}"
            ))
            .map_err(|error| error.to_string())
        };
        let full = "name = 'price.adjust'\nauth = ['api-key']\nscopes = ['prices']\ninput = 'in.json'\n\
                    output = 'out.json'\nrate = '10/s'\nlimits = { cpu = '20ms', wall = '1s', memory = '8MiB' }\n";
        let manifest = with(full).unwrap();
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
        let function = &manifest.functions[0];
        assert_eq!(function.name.as_str(), "price.adjust");
        assert_eq!(function.limits.cpu, Some(Span::ms(20)));
        let places: Vec<String> = manifest
            .all_limits()
            .into_iter()
            .map(|(place, _)| place)
            .collect();
        assert_eq!(places, ["limits", "function[0].limits"]);
        for (function, wanted) in [
            (
                full.replace("name = 'price.adjust'", "name = 'Price'"),
                "`Price` is not a function name",
            ),
            (full.replace("auth = ['api-key']\n", ""), "missing field `auth`"),
            (full.replace("input = 'in.json'\n", ""), "missing field `input`"),
            (
                full.replace("['api-key']", "'public'"),
                "function[0].scopes: a public function has no caller",
            ),
            (
                full.replace("['api-key']", "[]"),
                "function[0].auth: the list is empty",
            ),
            (full.replace("memory", "sql_rows"), "unknown field `sql_rows`"),
            (
                format!("{full}[[function]]\n{full}"),
                "function[1].name: price.adjust is defined twice",
            ),
            (
                full.replace("'20ms'", "'0ms'"),
                "function[0].limits.cpu: 0 is not possible here",
            ),
            (
                full.replace("'8MiB'", "'1KiB'"),
                "function[0].limits.memory: no instance fits",
            ),
            (
                full.replace("'prices'", "'a b'"),
                "function[0].scopes: no key can have the scope",
            ),
        ] {
            let error = with(&function).unwrap_err();
            assert!(error.contains(wanted), "{error} does not contain {wanted}");
        }
    }

    #[test]
    fn one_path_may_serve_several_methods() {
        let route = "method = 'GET'\npath = '/x'\nauth = 'public'\n[[route]]\nmethod = 'PUT'\npath = '/x'\nauth = 'public'";
        assert_eq!(with_route(route).unwrap().routes.len(), 2);
    }
}
