//! Reads a plugin's folder: the manifest, the migrations, the schemas and the mail templates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use mortise_sql::migration;
use mortise_validator::Schema;
use serde_json::Value;

use super::section::MigrationFile;
use super::{Bundle, BundleError, MAX_SCHEMA_BYTES, schema, schema_names};
use crate::domain::manifest::Manifest;

/// Stack for the deepest schema of the allowed size. The system only commits the memory that is
/// used.
const COMPILE_STACK: usize = 512 << 20;

/// A plugin's folder. Its files are read but not checked.
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at `path`.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let no_plugin = |problem| BundleError::NoPlugin {
            path: path.to_owned(),
            problem,
        };
        let root = path
            .canonicalize()
            .map_err(|_| no_plugin("there is nothing of this name"))?;
        match root.join("plugin.toml").is_file() {
            true => Ok(Self { root }),
            false if root.is_dir() => Err(no_plugin("it has no plugin.toml")),
            false => Err(no_plugin("it is a file")),
        }
    }

    /// The text of `plugin.toml`.
    pub fn manifest(&self) -> Result<String, BundleError> {
        read(&self.root.join("plugin.toml"))
    }

    /// The `.sql` files in the manifest's migrations folder, sorted by number. The numbers are
    /// checked later.
    pub fn migrations(&self, manifest: &Manifest) -> Result<Vec<MigrationFile>, BundleError> {
        let Some(name) = manifest
            .database
            .as_ref()
            .and_then(|database| database.migrations.as_deref())
        else {
            return Ok(Vec::new());
        };
        const PLACE: &str = "[database] migrations";
        let folder = self.inside(PLACE, name)?;
        let fail = |error| BundleError::Named {
            place: PLACE,
            path: folder.clone(),
            error,
        };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|extension| extension == "sql") {
                let file = path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                let sql = read(&self.inside(PLACE, &format!("{name}/{file}"))?)?;
                files.push(MigrationFile { file, sql });
            }
        }
        migration::sort(&mut files, |file: &MigrationFile| &file.file);
        Ok(files)
    }

    /// The schemas that the manifest names.
    pub fn schemas(&self, manifest: &Manifest) -> Result<BTreeMap<String, String>, BundleError> {
        let names: BTreeSet<&str> = schema_names(manifest).collect();
        names
            .into_iter()
            .map(|name| Ok((name.to_owned(), self.schema(name)?)))
            .collect()
    }

    /// The files of the manifest's folder of mail templates, by their names. Hidden files are
    /// skipped.
    pub fn templates(&self, manifest: &Manifest) -> Result<BTreeMap<String, String>, BundleError> {
        const PLACE: &str = "[email] templates";
        let Some(name) = manifest.templates() else {
            return Ok(BTreeMap::new());
        };
        let folder = self.inside(PLACE, name)?;
        let fail = |error| BundleError::Named {
            place: PLACE,
            path: folder.clone(),
            error,
        };
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&folder).map_err(fail)? {
            let file = entry.map_err(fail)?.file_name().to_string_lossy().into_owned();
            if !file.starts_with('.') {
                let text = read(&self.inside(PLACE, &format!("{name}/{file}"))?)?;
                files.insert(file, text);
            }
        }
        Ok(files)
    }

    /// A schema as JSON without whitespace.
    fn schema(&self, name: &str) -> Result<String, BundleError> {
        let text = read(&self.inside("a schema of a route or a function", name)?)?;
        let wrong = |problem| BundleError::Schema {
            file: name.to_owned(),
            problem,
        };
        if text.len() > MAX_SCHEMA_BYTES {
            return Err(wrong(format!(
                "{} bytes are more than {MAX_SCHEMA_BYTES}",
                text.len()
            )));
        }
        let schema: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        Ok(schema.to_string())
    }

    /// The real path of a file that the manifest names at `place`. Symbolic links are resolved.
    fn inside(&self, place: &'static str, name: &str) -> Result<PathBuf, BundleError> {
        let outside = || BundleError::Outside(name.to_owned());
        let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
        if name.is_empty() || !Path::new(name).components().all(plain) {
            return Err(outside());
        }
        let path = self.root.join(name);
        let real = path
            .canonicalize()
            .map_err(|error| BundleError::Named { place, path, error })?;
        if real.starts_with(&self.root) {
            Ok(real)
        } else {
            Err(outside())
        }
    }
}

/// Compiles the schemas of an author's own folder in this process, so that an error names its
/// place.
pub fn compile_schemas(bundle: &Bundle) -> Result<(), BundleError> {
    let formats = schema::formats(&bundle.manifest);
    let compile = || {
        bundle.schemas.iter().try_for_each(|(file, text)| {
            let compiled = Schema::compile(text, formats).map(|_| ());
            compiled.map_err(|problem| BundleError::Schema {
                file: file.clone(),
                problem,
            })
        })
    };
    // Compilation recurses over references, and a schema can have thousands in a chain.
    on_large_stack(compile)
}

/// Checks the syntax of the mail templates of an author's own folder in this process.
pub fn check_templates(bundle: &Bundle) -> Result<(), BundleError> {
    let folder = bundle.manifest.templates().unwrap_or_default();
    // The markup of a mail can be nested deep.
    on_large_stack(|| {
        mortise_renderer::check(&bundle.templates)
            .map_err(|problem| BundleError::Template(format!("{folder}/{problem}")))
    })
}

fn on_large_stack(work: impl FnOnce() -> Result<(), BundleError> + Send) -> Result<(), BundleError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(COMPILE_STACK);
        let done = thread.spawn_scoped(scope, work).map(|thread| thread.join());
        match done {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => Err(BundleError::Read {
                path: "a thread".into(),
                error,
            }),
        }
    })
}

fn read(path: &Path) -> Result<String, BundleError> {
    std::fs::read_to_string(path).map_err(|error| BundleError::Read {
        path: path.to_owned(),
        error,
    })
}
