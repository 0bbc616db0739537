//! Errors of what lies below, as callers of the admin API see them.

use crate::components::Fault;
use crate::domain::clock::Timestamp;
use crate::domain::id::VersionDigest;
use crate::domain::version_name::NamedVersion;
use crate::http::problem::{Code, Problem};
use crate::lifecycle::LifecycleError;
use crate::storage::DbError;
use crate::storage::vault::VaultError;

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        match error {
            DbError::Taken(what) => {
                let hint = format!("choose another {what}");
                Problem::new(Code::Conflict, error.to_string()).with("hint", hint)
            }
            DbError::Reserved(_) => Problem::new(Code::Conflict, error.to_string()).with(
                "hint",
                "`mortise tenants restore` and `mortise plugins restore` bring it back; `delete --purge` \
                 deletes it for good",
            ),
            DbError::InUse(what) => {
                let hint = match what {
                    "plan" => {
                        "move the tenants that are on it to another plan first: `PATCH \
                         /api/v1/tenants/{tenant}` with {\"plan\": …}"
                    }
                    "version" => "make another version active first",
                    _ => "remove what uses it first",
                };
                Problem::new(Code::Conflict, error.to_string()).with("hint", hint)
            }
            DbError::Missing(what) => Problem::not_found(what),
            // A row that cannot be read takes its tenant or its plugin out of service until it is mended.
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
            LifecycleError::TooLarge(_) => Problem::new(Code::BodyTooLarge, detail).with("hint", TOO_LARGE),
            LifecycleError::TooManyPlugins(_) => Problem::new(Code::Conflict, detail).with("hint", TOO_MANY),
            LifecycleError::CompileLimit(_) => Problem::new(Code::CompileLimit, detail),
            LifecycleError::NotFound(what) => Problem::not_found(what),
            LifecycleError::NoSuchVersion { candidates, .. } => {
                let hint =
                    "name a version by its digest, by the first digits of it, or by the author's version";
                Problem::new(Code::NotFound, detail)
                    .with("hint", hint)
                    .with("candidates", digests(&candidates))
            }
            LifecycleError::AmbiguousVersion { candidates, .. } => Problem::new(Code::Conflict, detail)
                .with(
                    "hint",
                    "name one of them by its digest, or by the first digits of it",
                )
                .with("candidates", digests(&candidates)),
            LifecycleError::NoRollback => {
                let hint =
                    "activate a version by its name; the list of the plugin's versions has all that are left";
                Problem::new(Code::Conflict, detail).with("hint", hint)
            }
            LifecycleError::VersionActive => Problem::new(Code::Conflict, detail),
            LifecycleError::ComponentMissing => Problem::new(Code::NotFound, detail),
            LifecycleError::Conflict(_) => Problem::new(Code::Conflict, detail),
            LifecycleError::GrantsMissing(missing) => {
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                let detail = format!("{detail}: {}", names.join(", "));
                Problem::new(Code::GrantsMissing, detail).with("missing", missing)
            }
            LifecycleError::Migration(_) => Problem::new(Code::MigrationFailed, detail),
            LifecycleError::Unavailable(cause) => Problem::unavailable(cause),
            LifecycleError::Host(cause) => Problem::internal(cause),
        }
    }
}

/// What to do about an upload that is too large.
pub const TOO_LARGE: &str = "the limit `component_size` bounds uploads; GET /api/v1/tenants/{tenant}/limits \
    shows it, and the operator sets it. Build the component for release and without what it does not use";

/// What to do about more things of a kind than a tenant may have.
pub const TOO_MANY: &str = "remove some first, or ask the operator for a higher limit; GET \
    /api/v1/tenants/{tenant}/limits shows the limits";

/// The problem for revoking a token or key that is already revoked.
pub fn revoked_before(what: &str, name: &str, at: Timestamp) -> Problem {
    Problem::new(
        Code::Conflict,
        format!("the {what} `{name}` was revoked before, at {at}; it does not work"),
    )
    .with("hint", "there is nothing left to do")
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        Problem::internal(error)
    }
}

fn digests(versions: &[NamedVersion]) -> Vec<VersionDigest> {
    versions.iter().map(|version| version.digest).collect()
}

/// The request is malformed; `detail` says where and how.
pub fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidRequest, detail)
}
