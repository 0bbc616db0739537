//! Errors of uploads, activations and deletions.

use crate::capability::database::MigrationError;
use crate::components::bundle::BundleError;
use crate::components::compile::CompileError;
use crate::components::store::StoreError;
use crate::components::{LoadError, Refusal};
use crate::domain::grant::MissingGrant;
use crate::domain::resource::Resource;
use crate::domain::schedule_limits::ScheduleExcess;
use crate::domain::units::ByteSize;
use crate::domain::version_name::{NamedVersion, VersionName};
use crate::sandbox::SchemaError;
use crate::storage::DbError;

/// Why an upload, an activation or a deletion failed.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// This host does not run the uploaded bytes.
    #[error("{0}")]
    Refused(Refusal),
    /// The component is larger than the plan allows.
    #[error("the component has more than {0}")]
    TooLarge(ByteSize),
    /// The tenant has as many plugins as its plan allows.
    #[error(
        "the tenant has {0} plugins already, deleted ones included (limit `plugins`); purge one first \
         (`DELETE …?purge=true`)"
    )]
    TooManyPlugins(u32),
    /// The compilation exceeded a limit.
    #[error("{0}")]
    CompileLimit(String),
    /// There is no such plugin or version.
    #[error("there is no such {0}")]
    NotFound(Resource),
    /// The version exists, but its component is missing.
    #[error("the version's component is missing or damaged on disk; upload the same file again")]
    ComponentMissing,
    /// No version of the plugin has this name.
    #[error("no version is named `{name}`; {}", listed("the newest are", .candidates))]
    NoSuchVersion {
        /// The name that was looked up.
        name: VersionName,
        /// The newest versions of the plugin.
        candidates: Vec<NamedVersion>,
    },
    /// Several versions of the plugin have this name.
    #[error("`{name}` names more than one version: {}", listed("", .candidates))]
    AmbiguousVersion {
        /// The name that was looked up.
        name: VersionName,
        /// The versions with this name.
        candidates: Vec<NamedVersion>,
    },
    /// Every earlier version was deleted or already rolled back from.
    #[error(
        "there is no version to roll back to: every earlier version was deleted or already rolled back from"
    )]
    NoRollback,
    /// The active version cannot be deleted.
    #[error("this version is the active one; activate another one first")]
    VersionActive,
    /// The change contradicts the stored state: a name is reserved, or a version is in use.
    #[error("{0}")]
    Conflict(DbError),
    /// The manifest asks for grants that the tenant has not given.
    #[error("the manifest asks for what the tenant has not granted")]
    GrantsMissing(Vec<MissingGrant>),
    /// The schedules exceed a limit of the tenant.
    #[error("{0}")]
    Schedules(ScheduleExcess),
    /// A migration failed, and none was applied.
    #[error("{0}")]
    Migration(String),
    /// A database or a folder of the host cannot be used at the moment.
    #[error("the host's storage cannot be used at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The host failed.
    #[error("the host failed")]
    Host(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A list of versions as part of a sentence.
fn listed(introduction: &str, versions: &[NamedVersion]) -> String {
    if versions.is_empty() {
        return "there are none".to_owned();
    }
    let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
    format!("{introduction} {}", versions.join(", "))
        .trim_start()
        .to_owned()
}

impl LifecycleError {
    pub(super) fn host(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Host(error.into())
    }
}

impl From<DbError> for LifecycleError {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Unavailable(_) | DbError::Corrupt { .. } => Self::Unavailable(error.into()),
            DbError::Missing(what) => Self::NotFound(what),
            DbError::Taken(_) | DbError::Reserved(_) | DbError::InUse(_) | DbError::UniqueKeyTaken(_) => {
                Self::Conflict(error)
            }
            error => Self::host(error),
        }
    }
}

impl From<std::io::Error> for LifecycleError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<StoreError> for LifecycleError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(_) => Self::ComponentMissing,
            StoreError::Unavailable(_) => Self::Unavailable(error.into()),
        }
    }
}

impl From<LoadError> for LifecycleError {
    fn from(error: LoadError) -> Self {
        match &error {
            LoadError::Refused(refusal) => Self::Refused(Refusal::clone(refusal)),
            LoadError::Compile(compile) => match &**compile {
                CompileError::Refused(refusal) => Self::Refused(refusal.clone()),
                CompileError::Limit { .. } | CompileError::TooLarge(_) => {
                    Self::CompileLimit(compile.to_string())
                }
                CompileError::Stopped => Self::Unavailable(error.into()),
                CompileError::Worker(_) => Self::host(error),
            },
            LoadError::Io(_) | LoadError::Store(_) => Self::Unavailable(error.into()),
            // The version is being deleted, or its file was lost. Uploading it again repairs it.
            LoadError::Missing(_) => Self::ComponentMissing,
        }
    }
}

impl From<BundleError> for LifecycleError {
    fn from(error: BundleError) -> Self {
        Self::Refused(error.refusal())
    }
}

impl From<SchemaError> for LifecycleError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Refused { .. } => Self::Refused(Refusal::manifest(
                error.to_string(),
                "correct the schema at this place and build again",
            )),
            SchemaError::Unavailable(_) => Self::Unavailable(error.into()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::problem::Code;
    use crate::http::problem::Problem;

    #[test]
    fn a_validator_that_does_not_start_in_time_is_unavailable_and_no_failure_of_the_host() {
        let code = |error: SchemaError| Problem::from(LifecycleError::from(error)).code();
        let late = SchemaError::Unavailable("the schemas were not compiled within 60s".to_owned());
        assert_eq!(code(late), Code::Unavailable);
        assert_eq!(code(SchemaError::Host("broken".to_owned())), Code::Internal);
    }
}
