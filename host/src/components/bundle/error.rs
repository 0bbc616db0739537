//! Errors of creating and reading a plugin bundle.

use std::path::PathBuf;

use crate::components::ScanError;
use crate::components::refusal::{Fault, Refusal};
use crate::domain::manifest::ManifestError;

/// Why a bundle cannot be created or read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The bytes are not a component, malformed, or too complex to be compiled.
    #[error(transparent)]
    Component(#[from] ScanError),
    /// The component has no bundle section.
    #[error("the component holds no manifest (custom section `{section}`); bundle it with `mortise build`", section = super::SECTION)]
    NoManifest,
    /// The component already has a bundle section.
    #[error(
        "the component holds a manifest already (custom section `{section}`); bundle the component as its compiler wrote it",
        section = super::SECTION
    )]
    AlreadyBundled,
    /// The section has a wrong size, JSON or format.
    #[error("custom section `{section}`: {0}", section = super::SECTION)]
    Section(String),
    /// `plugin.toml` is not valid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The component was built for another version of the contract.
    #[error(transparent)]
    Contract(#[from] Refusal),
    /// A migration or the order of migrations is not valid.
    #[error("migrations: {0}")]
    Migrations(String),
    /// A schema is not valid.
    #[error("{file}: {problem}")]
    Schema {
        /// Path of the schema inside the plugin.
        file: String,
        /// The place in the schema, and the problem.
        problem: String,
    },
    /// A mail template is not valid. The text begins with the file and the line.
    #[error("{0}")]
    Template(String),
    /// The folder or its `plugin.toml` does not exist.
    #[error("{path} is no folder of a plugin: {problem}", path = path.display())]
    NoPlugin {
        /// The given path.
        path: PathBuf,
        /// What is missing.
        problem: &'static str,
    },
    /// The manifest names a file or a folder that cannot be read.
    #[error("plugin.toml: {place}: cannot read {path}: {error}", path = path.display())]
    Named {
        /// The key in the manifest.
        place: &'static str,
        /// The named path.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// A file of the plugin's folder cannot be read.
    #[error("cannot read {path}: {error}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: std::io::Error,
    },
    /// The manifest names a path outside of the plugin's folder.
    #[error("plugin.toml: `{0}` is outside of the plugin's folder; paths must be relative and without `..`")]
    Outside(String),
}

impl BundleError {
    /// The wrong part of the upload: 422 `invalid-component` or 422 `invalid-manifest`.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Component(_) => Fault::Component,
            Self::Contract(refusal) => refusal.fault,
            Self::NoManifest
            | Self::AlreadyBundled
            | Self::Section(_)
            | Self::Manifest(_)
            | Self::Migrations(_)
            | Self::Schema { .. }
            | Self::Template(_)
            | Self::NoPlugin { .. }
            | Self::Named { .. }
            | Self::Read { .. }
            | Self::Outside(_) => Fault::Manifest,
        }
    }

    /// The refusal of an upload.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Component(error) => error.refusal(),
            Self::Contract(refusal) => refusal.clone(),
            Self::NoManifest => Refusal::manifest(
                self.to_string(),
                "`mortise build <folder> --component <file.wasm>` adds the manifest to a component",
            ),
            Self::Section(_) => Refusal::manifest(
                self.to_string(),
                "let `mortise build` of this host's version write the section, or write it as docs/plugin-guide.md says",
            ),
            Self::Manifest(_) => Refusal::manifest(
                self.to_string(),
                "correct plugin.toml at this place and build again; docs/plugin-guide.md lists its keys",
            ),
            Self::Migrations(_) => Refusal::manifest(
                self.to_string(),
                "correct the plugin's migrations and build again",
            ),
            Self::Schema { .. } => Refusal::manifest(
                self.to_string(),
                "correct the schema at this place and build again",
            ),
            Self::Template(_) => Refusal::manifest(
                self.to_string(),
                "correct the template at this place and build again",
            ),
            Self::AlreadyBundled => Refusal::manifest(
                self.to_string(),
                "give `mortise build` the component without the section; `mortise deploy` takes the file as it is",
            ),
            Self::NoPlugin { .. } => Refusal::manifest(
                self.to_string(),
                "name the folder that holds the plugin's plugin.toml; docs/plugin-guide.md begins with one",
            ),
            Self::Named { .. } | Self::Read { .. } | Self::Outside(_) => {
                Refusal::manifest(self.to_string(), "correct what plugin.toml names and build again")
            }
        }
    }
}
