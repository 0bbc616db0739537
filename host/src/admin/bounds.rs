//! Bounds on how many things of a kind a tenant has.

use tokio::sync::OwnedMutexGuard;

use super::state::AdminState;
use crate::domain::problem::Code;
use crate::domain::tenant::Tenant;
use crate::http::hint::Hint;
use crate::http::problem::Problem;

/// API keys and tokens of a tenant that were revoked or have expired and are still listed. Older
/// ones are deleted; the audit log goes on naming them.
pub const DEAD_CREDENTIALS: u32 = 1_000;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// API keys that work.
    ApiKeys,
    /// Tokens that work.
    Tokens,
    /// Secrets.
    Secrets,
    /// Settings of all plugins together.
    ConfigEntries,
}

/// While this is held, no other request adds anything to the tenant that is counted.
pub struct Counting {
    _lock: OwnedMutexGuard<()>,
}

/// Waits until no other request adds something to the tenant, and refuses `added` more of a kind if
/// they would be too many. A tenant that has more already keeps them. The caller holds what this
/// returns until they are stored.
pub async fn room_for(
    state: &AdminState,
    tenant: &Tenant,
    kind: Kind,
    added: u32,
) -> Result<Counting, Problem> {
    let limits = state.lifecycle.limits(tenant).await?;
    let lock = state.counting.lock(tenant.id).await;
    let counts = state.db.counts(tenant.id, state.clock.now()).await?;
    let (what, name, has, most) = match kind {
        Kind::ApiKeys => ("API keys", "api_keys", counts.api_keys, limits.api_keys),
        Kind::Tokens => ("tokens", "tokens", counts.tokens, limits.tokens),
        Kind::Secrets => ("secrets", "secrets", counts.secrets, limits.secrets),
        Kind::ConfigEntries => (
            "settings",
            "config_entries",
            counts.config_entries,
            limits.config_entries,
        ),
    };
    if added > 0 && has.saturating_add(added) > most {
        let detail = format!(
            "the tenant has {has} {what} and may have {most} (limit `{name}`), so {added} more is too many"
        );
        return Err(Problem::new(Code::Conflict, detail).hint(Hint::TooMany));
    }
    Ok(Counting { _lock: lock })
}
