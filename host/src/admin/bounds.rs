//! Limits on the numbers of API keys, tokens, secrets, settings and suppressed addresses of a
//! tenant.

use tokio::sync::OwnedMutexGuard;

use super::state::AdminState;
use crate::domain::problem::Code;
use crate::domain::tenant::Tenant;
use crate::http::hint::Hint;
use crate::http::problem::Problem;

/// The most revoked or expired API keys and tokens of a tenant that are listed. Older ones are
/// deleted, but the audit log keeps their names.
pub const DEAD_CREDENTIALS: u32 = 1_000;

/// A kind of limited items.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Valid API keys.
    ApiKeys,
    /// Valid tokens.
    Tokens,
    /// Secrets.
    Secrets,
    /// Settings of all plugins.
    ConfigEntries,
    /// Endpoints for webhooks.
    WebhookEndpoints,
    /// Addresses on the suppression list.
    Suppressions,
}

/// A lock on the counted items of a tenant. While it is held, no other request adds any.
pub struct Counting {
    _lock: OwnedMutexGuard<()>,
}

/// Locks the tenant's counted items and refuses `added` more if the limit does not allow them.
/// Existing items above the limit are kept. The caller holds the lock until the new items are
/// stored.
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
        Kind::WebhookEndpoints => (
            "endpoints for webhooks",
            "webhook_endpoints",
            counts.webhook_endpoints,
            limits.webhook_endpoints,
        ),
        Kind::Suppressions => (
            "suppressed addresses",
            "suppressions",
            counts.suppressions,
            limits.suppressions,
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
