//! Why a version was not uploaded or activated.

use crate::capability::database::MigrationError;
use crate::components::LoadError;
use crate::components::bundle::{BundleError, Fault};
use crate::components::compile::CompileError;
use crate::domain::grant::MissingGrant;
use crate::domain::units::ByteSize;
use crate::sandbox::SchemaError;
use crate::storage::DbError;

/// Why a version was not uploaded or activated.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The bytes are not a component that this host runs.
    #[error("{0}")]
    InvalidComponent(String),
    /// The manifest is missing or wrong.
    #[error("{0}")]
    InvalidManifest(String),
    /// Larger than the plan allows.
    #[error("the component has more than {0}")]
    TooLarge(ByteSize),
    /// The tenant has as many plugins as its plan allows.
    #[error("the tenant has its {0} plugins (limit `plugins`); delete one first")]
    TooManyPlugins(u32),
    /// Compiling took too much.
    #[error("{0}")]
    CompileLimit(String),
    /// There is no such plugin or version, or nothing to go back to.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The manifest asks for what was not granted.
    #[error("the manifest asks for what the tenant has not granted")]
    GrantsMissing(Vec<MissingGrant>),
    /// A migration failed; nothing was applied.
    #[error("{0}")]
    Migration(String),
    /// A database or a folder of the host cannot be used at the moment.
    #[error("the host's storage cannot be used at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The host failed.
    #[error("the host failed")]
    Host(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl LifecycleError {
    pub(super) fn host(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Host(error.into())
    }
}

impl From<DbError> for LifecycleError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) => Self::Unavailable(error.into()),
            error => Self::host(error),
        }
    }
}

impl From<std::io::Error> for LifecycleError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<LoadError> for LifecycleError {
    fn from(error: LoadError) -> Self {
        match &error {
            LoadError::Unsupported(message) => Self::InvalidComponent(message.clone()),
            LoadError::Compile(compile) => match &**compile {
                CompileError::Invalid(message) => Self::InvalidComponent(message.clone()),
                CompileError::Limit { .. } | CompileError::TooLarge(_) => {
                    Self::CompileLimit(compile.to_string())
                }
                CompileError::Worker(_) => Self::host(error),
            },
            LoadError::Io(_) => Self::Unavailable(error.into()),
            LoadError::Missing(_) => Self::host(error),
        }
    }
}

impl From<BundleError> for LifecycleError {
    fn from(error: BundleError) -> Self {
        match error.fault() {
            Fault::Component => Self::InvalidComponent(error.to_string()),
            Fault::Manifest => Self::InvalidManifest(error.to_string()),
        }
    }
}

impl From<SchemaError> for LifecycleError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Refused { .. } => Self::InvalidManifest(error.to_string()),
            SchemaError::Host(_) => Self::host(error),
        }
    }
}

impl From<MigrationError> for LifecycleError {
    fn from(error: MigrationError) -> Self {
        if error.is_host_fault() {
            Self::Unavailable(error.into())
        } else {
            Self::Migration(error.to_string())
        }
    }
}
