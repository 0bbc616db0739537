//! Errors of loading a component.

use std::sync::Arc;

use super::compile::CompileError;
use super::refusal::Refusal;
use super::store::StoreError;
use crate::domain::id::VersionDigest;

/// Why a component could not be loaded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// This host does not run the component, because of an import, an export, its needs or a rule
    /// of the operator.
    #[error(transparent)]
    Refused(Arc<Refusal>),
    /// The compilation failed.
    #[error(transparent)]
    Compile(Arc<CompileError>),
    /// The component's file is missing or does not match its digest.
    #[error("the component {0} is missing or damaged on disk")]
    Missing(VersionDigest),
    /// The component store fails.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// A file of this node cannot be read or written.
    #[error("the component files cannot be used: {0}")]
    Io(Arc<std::io::Error>),
}

impl From<CompileError> for LoadError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Refused(refusal) => Self::Refused(Arc::new(refusal)),
            error => Self::Compile(Arc::new(error)),
        }
    }
}

impl From<std::io::Error> for LoadError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}
