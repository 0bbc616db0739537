//! Why a component cannot be loaded.

use std::sync::Arc;

use super::compile::CompileError;
use super::refusal::Refusal;
use super::store::StoreError;
use crate::domain::id::VersionDigest;

/// Why a component could not be loaded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoadError {
    /// This host does not run it: what it imports or exports, what it needs, or what the operator
    /// refuses.
    #[error(transparent)]
    Refused(Arc<Refusal>),
    /// It could not be compiled.
    #[error(transparent)]
    Compile(Arc<CompileError>),
    /// Its file is missing or does not match its digest.
    #[error("the component {0} is missing or damaged on disk")]
    Missing(VersionDigest),
    /// The components cannot be read.
    #[error(transparent)]
    Store(Arc<StoreError>),
    /// The disk failed.
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
