//! A plugin bundle: the manifest, the migrations, the schemas and the mail templates, embedded in
//! the component.
//!
//! They are stored in a custom section of the outermost component with the name `mortise:plugin`.
//! Its content is JSON in UTF-8, at most 4 MiB:
//!
//! ```json
//! {
//!   "format": 1,
//!   "manifest": "[plugin]\nname = \"orders\"\nversion = \"1.2.0\"\n …",
//!   "migrations": [{ "file": "0001_orders.sql", "sql": "CREATE TABLE orders …" }],
//!   "schemas": { "schemas/new-order.json": { "type": "object" } },
//!   "templates": { "paid.subject": "Order {{ order }} is paid", "paid.txt": "Thank you …" }
//! }
//! ```
//!
//! - `manifest` is the text of `plugin.toml`. `mortise build` adds `contract` if it is missing;
//!   otherwise the text is unchanged.
//! - `migrations` are in strictly increasing order of their numbers, at most 500. There are none if
//!   the manifest names no migrations folder.
//! - `schemas` has one member for each schema that a route or a function of the manifest names,
//!   under the path in the manifest, and no other. There are at most 500 of 256 KiB each. Their
//!   references stay within each document.
//! - `templates` has the files of the folder that `[email] templates` names, by their names without
//!   the folder, at most 500 of 256 KiB each. `mortise_renderer` says which names they may have.
//!
//! Other keys are refused. `mortise build` writes the section, and any other tool may. The compile
//! worker reads it with [`Bundle::of_section`] and checks everything, because the bytes come from a
//! customer.

mod error;
mod folder;
mod native;
pub mod schema;
mod section;
mod stored;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use error::BundleError;
pub use stored::StoredBundle;

use mortise_sql::migration::check_order;

use crate::components::{contract, scan};
use crate::domain::manifest::{Manifest, ManifestError};
use crate::domain::migration::Migration;
use crate::unguarded::{Guard, is_off};
use folder::Folder;
use section::{Content, MigrationFile};

/// The name of the custom section.
pub const SECTION: &str = "mortise:plugin";

/// The largest section in bytes. It is held in memory while an upload is checked.
pub const MAX_SECTION_BYTES: usize = 4 << 20;

/// The largest `plugin.toml` in bytes. It is stored and read with each version.
pub const MAX_MANIFEST_BYTES: usize = 256 << 10;

/// The most migrations of a plugin.
pub const MAX_MIGRATIONS: usize = 500;

/// The most schemas of a plugin.
pub const MAX_SCHEMAS: usize = 500;

/// The largest schema in bytes.
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;

/// A checked bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The text of `plugin.toml`.
    pub manifest_text: String,
    /// The parsed manifest.
    pub manifest: Manifest,
    /// The migrations, in strictly increasing order of their numbers.
    pub migrations: Vec<Migration>,
    /// The schemas as JSON text, by the paths that the manifest names. They are compiled later, in
    /// a sandbox.
    pub schemas: BTreeMap<String, String>,
    /// The files of the mail templates by their names. Their syntax is checked later, in a sandbox.
    pub templates: BTreeMap<String, String>,
}

impl Bundle {
    /// Reads a plugin's folder: `plugin.toml` and the files that it names.
    pub fn from_folder(path: &Path) -> Result<Self, BundleError> {
        let folder = Folder::open(path)?;
        let text = folder.manifest()?;
        let manifest = Manifest::parse(&text)?;
        let (migrations, schemas) = (folder.migrations(&manifest)?, folder.schemas(&manifest)?);
        let content = Content::new(text, migrations, &schemas, folder.templates(&manifest)?)?;
        let bundle = Self::check(content)?;
        folder::compile_schemas(&bundle)?;
        folder::check_templates(&bundle)?;
        Ok(bundle)
    }

    /// Reads the bundle of a component. The bytes come from a customer.
    pub fn extract(component: &[u8]) -> Result<Self, BundleError> {
        Self::of_section(scan(component, SECTION)?)
    }

    /// Reads the bundle from the content of the section.
    pub fn of_section(section: Option<&[u8]>) -> Result<Self, BundleError> {
        Self::check(Content::parse(section.ok_or(BundleError::NoManifest)?)?)
    }

    /// Embeds the bundle in a component. If the manifest names no contract, the component's
    /// contract is added.
    pub fn embed(&self, component: &[u8]) -> Result<Vec<u8>, BundleError> {
        if scan(component, SECTION)?.is_some() {
            return Err(BundleError::AlreadyBundled);
        }
        let files = self.migrations.iter().map(|migration| MigrationFile {
            file: migration.file_name(),
            sql: migration.sql.clone(),
        });
        let manifest_text = self.text_for(component)?;
        let templates = self.templates.clone();
        let content = Content::new(manifest_text, files.collect(), &self.schemas, templates)?;
        Ok([component, &content.to_section()?].concat())
    }

    /// The text of the manifest, with the contract that the component was built for.
    fn text_for(&self, component: &[u8]) -> Result<String, BundleError> {
        let built = contract::of(component)?;
        let Some(built) = built.filter(|built| *built != self.manifest.plugin.contract) else {
            return Ok(self.manifest_text.clone());
        };
        let manifest_text = written::with_contract(&self.manifest_text, built)?;
        // The contract determines how schemas are interpreted, so they are compiled again.
        folder::compile_schemas(&Self {
            manifest: Manifest::parse(&manifest_text)?,
            ..self.clone()
        })?;
        Ok(manifest_text)
    }

    fn check(content: Content) -> Result<Self, BundleError> {
        let bytes = content.manifest.len();
        if bytes > MAX_MANIFEST_BYTES && !is_off(Guard::ManifestsApart) {
            let problem = format!("{bytes} bytes are more than {MAX_MANIFEST_BYTES}");
            return Err(ManifestError::Form(problem).into());
        }
        let manifest = Manifest::parse(&content.manifest)?;
        let migrations = check_migrations(&manifest, &content.migrations)?;
        let schemas = content.schemas();
        check_schemas(&manifest, &schemas)?;
        check_templates(&manifest, &content.templates)?;
        Ok(Self {
            manifest_text: content.manifest,
            manifest,
            migrations,
            schemas,
            templates: content.templates,
        })
    }
}

/// The schemas that the manifest's routes and functions name.
fn schema_names(manifest: &Manifest) -> impl Iterator<Item = &str> {
    let routes = manifest.routes.iter();
    let routes = routes.flat_map(|route| [&route.request, &route.response]);
    let functions = manifest.functions.iter();
    let functions = functions.flat_map(|function| [function.input.as_str(), function.output.as_str()]);
    routes.filter_map(|name| name.as_deref()).chain(functions)
}

fn check_migrations(manifest: &Manifest, files: &[MigrationFile]) -> Result<Vec<Migration>, BundleError> {
    let wrong = |problem: String| Err(BundleError::Migrations(problem));
    if files.len() > MAX_MIGRATIONS {
        return wrong(format!("{} are more than {MAX_MIGRATIONS}", files.len()));
    }
    let named = manifest
        .database
        .as_ref()
        .is_some_and(|database| database.migrations.is_some());
    if !named && !files.is_empty() {
        return wrong("the plugin has some, but plugin.toml has no `[database] migrations`".to_owned());
    }
    let parse = |file: &MigrationFile| Migration::parse(&file.file, &file.sql);
    let migrations: Result<Vec<_>, _> = files.iter().map(parse).collect();
    let migrations = migrations.map_err(|error| BundleError::Migrations(error.to_string()))?;
    let names: Vec<&str> = files.iter().map(|file| file.file.as_str()).collect();
    check_order(&names).map_err(|error| BundleError::Migrations(error.to_string()))?;
    Ok(migrations)
}

fn check_schemas(manifest: &Manifest, schemas: &BTreeMap<String, String>) -> Result<(), BundleError> {
    if schemas.len() > MAX_SCHEMAS {
        return Err(BundleError::Section(format!(
            "{} schemas are more than {MAX_SCHEMAS}",
            schemas.len()
        )));
    }
    let wrong = |file: &str, problem: String| {
        Err(BundleError::Schema {
            file: file.to_owned(),
            problem,
        })
    };
    let named: BTreeSet<&str> = schema_names(manifest).collect();
    if let Some(absent) = named.iter().find(|name| !schemas.contains_key(**name)) {
        return wrong(
            absent,
            "the manifest names this schema, but it is not in the component".to_owned(),
        );
    }
    for (file, text) in schemas {
        if !named.contains(file.as_str()) {
            return wrong(file, "no route names this schema".to_owned());
        }
        let bytes = compact_len(text);
        if bytes > MAX_SCHEMA_BYTES {
            return wrong(file, format!("{bytes} bytes are more than {MAX_SCHEMA_BYTES}"));
        }
    }
    Ok(())
}

/// Checks which templates there are, but not their syntax.
fn check_templates(manifest: &Manifest, templates: &BTreeMap<String, String>) -> Result<(), BundleError> {
    let Some(folder) = manifest.templates() else {
        return match templates.is_empty() {
            true => Ok(()),
            false => Err(BundleError::Template(
                "the component has mail templates, but plugin.toml has no `[email] templates`".to_owned(),
            )),
        };
    };
    mortise_renderer::check_names(templates)
        .map_err(|problem| BundleError::Template(format!("{folder}/{problem}")))
}

/// Size of a JSON text without whitespace between its tokens.
fn compact_len(json: &str) -> usize {
    let (mut length, mut in_string, mut is_escaped) = (0, false, false);
    for byte in json.bytes() {
        if in_string {
            in_string = is_escaped || byte != b'"';
            is_escaped = !is_escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = byte == b'"';
        }
        length += 1;
    }
    length
}

#[cfg(test)]
mod tests;
