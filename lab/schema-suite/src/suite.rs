//! Reads the files of the suite.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A schema and its test instances.
#[derive(Clone, Debug)]
pub struct Case {
    /// The file and the description.
    pub name: String,
    pub schema: Value,
    /// The instances.
    pub tests: Vec<Test>,
}

/// An instance.
#[derive(Clone, Debug, Deserialize)]
pub struct Test {
    /// What it shows.
    pub description: String,
    /// Its text, unchanged.
    pub data: Box<RawValue>,
    /// Whether it matches.
    pub valid: bool,
}

#[derive(Deserialize)]
struct Group {
    description: String,
    schema: Value,
    tests: Vec<Test>,
}

impl Case {
    /// Reads all cases of the files in a folder, without subfolders.
    pub fn read(folder: &Path) -> Result<Vec<Self>> {
        let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
        let paths = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<Result<Vec<PathBuf>>>()?;
        let mut files: Vec<PathBuf> = paths
            .into_iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        files.sort();
        let mut cases = Vec::new();
        for path in files {
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let groups: Vec<Group> =
                serde_json::from_slice(&std::fs::read(&path)?).with_context(|| path.display().to_string())?;
            cases.extend(groups.into_iter().map(|group| Self {
                name: format!("{stem}: {}", group.description),
                schema: group.schema,
                tests: group.tests,
            }));
        }
        Ok(cases)
    }
}
