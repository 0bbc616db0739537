//! Builds the plugins that are deployed: a component with a manifest, like `mortise build`, but
//! without checks.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::section::{number, section};

/// A component for an upload, and the grants that it needs.
#[derive(Clone, Debug)]
pub struct Guest {
    /// The name of the plugin.
    pub plugin: String,
    /// The component with its manifest.
    pub component: Vec<u8>,
    /// The grants that the manifest requests.
    pub grants: Value,
}

/// A guest builder. By default all routes are public, and no grants are requested.
#[derive(Clone, Debug)]
pub struct Recipe {
    component: Vec<u8>,
    plugin: String,
    version: String,
    /// Written to the manifest only if it is not the default, because hosts that support only that
    /// contract do not know the key.
    contract: Option<String>,
    reuse: bool,
    routes: String,
    migrations: Vec<Value>,
    origins: Vec<String>,
    secrets: [Vec<String>; 2],
    has_database: bool,
    /// The patterns of topics on which it may publish.
    events: Vec<String>,
    /// The addresses and domains from which it may send mail.
    senders: Vec<String>,
    /// Further sections of the manifest.
    more: String,
    /// The names and texts of schemas, which need not be valid JSON.
    schemas: Vec<(String, String)>,
    /// Replaces the generated manifest.
    manifest: Option<String>,
}

/// The custom sections with the routes of `routes!` and the jobs of `jobs!`, each with a name of
/// the same length that is never read.
const LISTS: [(&[u8], &[u8]); 2] = [
    (b"mortise:routes", b"mortise:unread"),
    (b"mortise:jobs", b"mortise:none"),
];

/// The prefix of the name under which a component of contract 0.2 exports its handler.
const HANDLER_0_2: &[u8] = b"mortise:plugin/http-handler@0.2.";

/// Hides a component's lists of routes and jobs, because a recipe may have other ones than the
/// original plugin.
fn without_lists(mut component: Vec<u8>) -> Vec<u8> {
    for (name, unread) in LISTS {
        while let Some(start) = component.windows(name.len()).position(|part| part == name) {
            component[start..start + name.len()].copy_from_slice(unread);
        }
    }
    component
}

impl Recipe {
    /// A guest of `tests/guests`. The plugin has the name of the file.
    pub fn of(file: &str) -> Result<Self> {
        let path = Path::new(file);
        let name = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .context("a guest has a name")?;
        let component = std::fs::read(path).with_context(|| format!("the guest {file}"))?;
        Ok(Self::from_bytes(
            &name.replace('_', "-"),
            without_lists(component),
        ))
    }

    /// A guest of any bytes.
    pub fn from_bytes(plugin: &str, component: Vec<u8>) -> Self {
        let routes = ["GET", "POST"].map(|method| {
            ["/", "/{*rest}"]
                .map(|path| route(method, path, "'public'"))
                .concat()
        });
        Self {
            component,
            plugin: plugin.to_owned(),
            version: "1.0.0".to_owned(),
            contract: None,
            reuse: false,
            routes: routes.concat(),
            migrations: Vec::new(),
            origins: Vec::new(),
            secrets: Default::default(),
            has_database: false,
            events: Vec::new(),
            senders: Vec::new(),
            more: String::new(),
            schemas: Vec::new(),
            manifest: None,
        }
    }

    /// Sets the name of the plugin.
    pub fn plugin(mut self, plugin: &str) -> Self {
        plugin.clone_into(&mut self.plugin);
        self
    }

    /// Sets the version.
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Sets the version of the contract, instead of the one that the component was built for.
    pub fn contract(mut self, contract: &str) -> Self {
        self.contract = Some(contract.to_owned());
        self
    }

    /// Reuses instances for several requests.
    pub fn reused(mut self) -> Self {
        self.reuse = true;
        self
    }

    /// Removes all routes, for components without a handler.
    pub fn without_routes(mut self) -> Self {
        self.routes.clear();
        self
    }

    /// Adds a route before the public ones; `access` is the value of `auth`.
    pub fn route(mut self, method: &str, path: &str, access: &str) -> Self {
        self.routes.insert_str(0, &route(method, path, access));
        self
    }

    /// Adds a route with further lines of TOML, before the public ones.
    pub fn route_with(mut self, method: &str, path: &str, lines: &str) -> Self {
        let route = format!("[[route]]\nmethod = '{method}'\npath = '{path}'\n{lines}\n");
        self.routes.insert_str(0, &route);
        self
    }

    /// Adds a JSON Schema, which routes can use.
    pub fn schema(mut self, name: &str, schema: Value) -> Self {
        self.schemas.push((name.to_owned(), schema.to_string()));
        self
    }

    /// Adds a schema of any text.
    pub fn schema_text(mut self, name: &str, schema: &str) -> Self {
        self.schemas.push((name.to_owned(), schema.to_owned()));
        self
    }

    /// Sets the text of the manifest, which overrides all other settings.
    pub fn manifest(mut self, manifest: &str) -> Self {
        self.manifest = Some(manifest.to_owned());
        self
    }

    /// Adds a database with these migrations.
    pub fn database(mut self, migrations: &[&str]) -> Self {
        self.has_database = true;
        let numbered = migrations.iter().zip(1..);
        self.migrations = numbered
            .map(|(sql, number)| json!({ "file": format!("{number:04}_made.sql"), "sql": sql }))
            .collect();
        self
    }

    /// Requests outbound HTTP to these origins.
    pub fn origins(mut self, origins: &[&str]) -> Self {
        self.origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
        self
    }

    /// Requests secrets, to use by name and to reveal.
    pub fn secrets(mut self, usable: &[&str], revealed: &[&str]) -> Self {
        self.secrets = [usable, revealed].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        self
    }

    /// Requests to publish events on these topics.
    pub fn events(mut self, patterns: &[&str]) -> Self {
        self.events = patterns.iter().map(|pattern| (*pattern).to_owned()).collect();
        self
    }

    /// Requests to send mail from these addresses or domains.
    pub fn email(mut self, senders: &[&str]) -> Self {
        self.senders = senders.iter().map(|sender| (*sender).to_owned()).collect();
        self
    }

    /// Adds sections to the manifest, such as jobs.
    pub fn with(mut self, sections: &str) -> Self {
        self.more.push_str(sections);
        self
    }

    /// Builds the guest.
    pub fn guest(&self) -> Guest {
        let [usable, revealed] = &self.secrets;
        let mut manifest = format!(
            "[plugin]\nname = '{}'\nversion = '{}'\nreuse = {}\n",
            self.plugin, self.version, self.reuse
        );
        let built_for = self
            .component
            .windows(HANDLER_0_2.len())
            .any(|part| part == HANDLER_0_2);
        let contract = self.contract.as_deref().or(built_for.then_some("0.2"));
        if let Some(contract) = contract {
            // Writing to a string does not fail.
            let _ = writeln!(manifest, "contract = '{contract}'");
        }
        manifest.push_str(&self.routes);
        if self.has_database {
            manifest.push_str("[database]\n");
            if !self.migrations.is_empty() {
                manifest.push_str("migrations = 'migrations'\n");
            }
        }
        // A list of strings has the same syntax in TOML and JSON.
        let _ = write!(manifest, "[http]\nallow = {}\n", json!(self.origins));
        let _ = write!(
            manifest,
            "[secrets]\nuse = {}\nreveal = {}\n",
            json!(usable),
            json!(revealed)
        );
        if !self.events.is_empty() {
            let _ = writeln!(manifest, "[events]\npublish = {}", json!(self.events));
        }
        if !self.senders.is_empty() {
            let _ = writeln!(manifest, "[email]\nfrom = {}", json!(self.senders));
        }
        manifest.push_str(&self.more);
        let manifest = self.manifest.clone().unwrap_or(manifest);
        let schemas: Vec<String> = self
            .schemas
            .iter()
            .map(|(name, text)| format!("{}:{text}", json!(name)))
            .collect();
        let content = format!(
            "{{\"format\":1,\"manifest\":{},\"migrations\":{},\"schemas\":{{{}}}}}",
            json!(manifest),
            json!(self.migrations),
            schemas.join(",")
        );
        let mut grants = json!({
            "database": self.has_database,
            "http": self.origins,
            "secrets": { "use": usable, "reveal": revealed },
        });
        // Earlier hosts, which a benchmark compares with, do not know this grant.
        if !self.events.is_empty() {
            grants["events"] = json!(self.events);
        }
        if !self.senders.is_empty() {
            grants["email"] = json!(self.senders);
        }
        Guest {
            plugin: self.plugin.clone(),
            component: [self.component.as_slice(), &section_of(&content)].concat(),
            grants,
        }
    }
}

fn route(method: &str, path: &str, access: &str) -> String {
    format!("[[route]]\nmethod = '{method}'\npath = '{path}'\nauth = {access}\n")
}

/// The custom section with the manifest and its files.
fn section_of(content: &str) -> Vec<u8> {
    let name = "mortise:plugin";
    let mut data = number(name.len());
    data.extend_from_slice(name.as_bytes());
    data.extend_from_slice(content.as_bytes());
    section(0, &data)
}
