//! Converts errors of the storage and the lifecycle to problems of the admin API.

use crate::capability::jobs::queue::QueueError;
use crate::components::Fault;
use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::version_name::NamedVersion;
use crate::http::hint::Hint;
use crate::http::problem::Problem;
use crate::jobs::{ReplayError, RunNowError};
use crate::lifecycle::LifecycleError;
use crate::storage::DbError;
use crate::storage::vault::VaultError;

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Taken(what) => {
                Problem::new(Code::Conflict, error.to_string()).hint(Hint::NameTaken(what))
            }
            DbError::Reserved(what) => {
                Problem::new(Code::Conflict, error.to_string()).hint(Hint::NameReserved(what))
            }
            DbError::InUse(what) => Problem::new(Code::Conflict, error.to_string()).hint(Hint::InUse(what)),
            error @ DbError::UniqueKeyTaken(_) => {
                Problem::new(Code::Conflict, error.to_string()).hint(Hint::UniqueKeyTaken)
            }
            DbError::Missing(what) => Problem::not_found(what),
            // A row that cannot be read makes its tenant or plugin unavailable until it is
            // repaired.
            error @ (DbError::Unavailable(_) | DbError::Corrupt { .. }) => Problem::unavailable(error),
            error => Problem::internal(error),
        }
    }
}

impl From<LifecycleError> for Problem {
    fn from(error: LifecycleError) -> Self {
        let detail = error.to_string();
        match error {
            LifecycleError::Refused(refusal) => {
                let code = match refusal.fault {
                    Fault::Component => Code::InvalidComponent,
                    Fault::Manifest => Code::InvalidManifest,
                    Fault::Limit => Code::CompileLimit,
                };
                Problem::new(code, detail).with("hint", refusal.hint)
            }
            LifecycleError::TooLarge(_) => Problem::new(Code::BodyTooLarge, detail),
            LifecycleError::TooManyPlugins(_) => Problem::new(Code::Conflict, detail).hint(Hint::TooMany),
            LifecycleError::CompileLimit(_) => Problem::new(Code::CompileLimit, detail),
            LifecycleError::NotFound(what) => Problem::not_found(what),
            LifecycleError::NoSuchVersion { candidates, .. } => Problem::new(Code::NotFound, detail)
                .hint(Hint::NoSuchVersion)
                .with("candidates", digests(&candidates)),
            LifecycleError::AmbiguousVersion { candidates, .. } => Problem::new(Code::Conflict, detail)
                .hint(Hint::AmbiguousVersion)
                .with("candidates", digests(&candidates)),
            LifecycleError::NoRollback => Problem::new(Code::Conflict, detail).hint(Hint::NoRollback),
            LifecycleError::VersionActive => {
                Problem::new(Code::Conflict, detail).hint(Hint::InUse(Resource::Version))
            }
            LifecycleError::ComponentMissing => Problem::new(Code::NotFound, detail),
            LifecycleError::Conflict(error) => error.into(),
            LifecycleError::GrantsMissing(missing) => {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                let detail = format!("{detail}: {}", names.join(", "));
                Problem::new(Code::GrantsMissing, detail).with("missing", missing)
            }
            LifecycleError::Schedules(_) => Problem::new(Code::Conflict, detail).hint(Hint::TooMany),
            LifecycleError::Migration(_) => Problem::new(Code::MigrationFailed, detail),
            LifecycleError::Unavailable(cause) => Problem::unavailable(cause),
            LifecycleError::Host(cause) => Problem::internal(cause),
        }
    }
}

impl From<RunNowError> for Problem {
    fn from(error: RunNowError) -> Self {
        let detail = error.to_string();
        match error {
            RunNowError::NoSchedule { .. } => {
                Problem::new(Code::NotFound, detail).hint(Hint::Missing(Resource::Schedule))
            }
            RunNowError::Unavailable { .. } => Problem::new(Code::Unavailable, detail),
            RunNowError::Queue(QueueError::Full { .. }) => {
                Problem::new(Code::Conflict, detail).hint(Hint::BacklogFull)
            }
            error @ (RunNowError::NoTenant | RunNowError::Queue(QueueError::Unavailable)) => {
                Problem::unavailable(error)
            }
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        let detail = error.to_string();
        match error {
            ReplayError::Missing => Problem::not_found(Resource::ReceivedWebhook),
            ReplayError::NoVersion(_) | ReplayError::NoWebhook { .. } => Problem::new(Code::Conflict, detail),
            ReplayError::Queue(QueueError::Full { .. }) => {
                Problem::new(Code::Conflict, detail).hint(Hint::BacklogFull)
            }
            error @ ReplayError::Queue(QueueError::Unavailable) => Problem::unavailable(error),
        }
    }
}

/// The problem for revoking a token or key that is already revoked.
pub fn revoked_before(what: &str, name: &str, at: Timestamp) -> Problem {
    Problem::new(
        Code::Conflict,
        format!("the {what} `{name}` was revoked before, at {at}; it does not work"),
    )
    .hint(Hint::RevokedBefore)
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        Problem::internal(error)
    }
}

fn digests(versions: &[NamedVersion]) -> Vec<VersionDigest> {
    versions.iter().map(|version| version.digest).collect()
}

/// A problem for a malformed request. `detail` says where and how.
pub fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
