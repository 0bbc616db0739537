//! The trait that a cache back end implements. The host calls know only this trait.

use std::time::Duration;

use futures_util::future::{BoxFuture, Either, Ready, ready};

use super::super::{ActiveVersion, HostCallRefused};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::units::ByteSize;

/// The result of a back end: either ready or a future. A ready result costs no allocation and no
/// wait.
pub type Answer<'a, T> = Either<Ready<Result<T, CacheError>>, BoxFuture<'a, Result<T, CacheError>>>;

/// The caches of all tenants. A plugin cannot reach the entries of another plugin, and a tenant's
/// entries never evict those of another tenant.
pub trait CacheBackend: Send + Sync {
    /// The value under `key`, unless it has expired.
    fn get<'a>(&'a self, scope: Scope<'a>, key: String) -> Answer<'a, Option<Value>>;

    /// Stores a value.
    fn set<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        value: Value,
        ttl: Option<Duration>,
    ) -> Answer<'a, ()>;

    /// Stores a value if the key has none. Returns true if the value was stored. Of several
    /// concurrent calls, one stores its value.
    fn set_if_absent<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        value: Value,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool>;

    /// Adds `delta` to the number under `key` and returns the sum. A missing number counts as zero,
    /// and `ttl` applies only when the entry is created.
    fn increment<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        delta: i64,
        ttl: Option<Duration>,
    ) -> Answer<'a, i64>;

    /// Removes a value.
    fn delete<'a>(&'a self, scope: Scope<'a>, key: String) -> Answer<'a, ()>;

    /// Bytes of the tenant's entries, overhead included, as far as this host knows.
    fn bytes(&self, scope: Scope<'_>) -> u64;

    /// Removes the entries of a deleted tenant. Tenant ids are never reused, so the caller does not
    /// wait for the removal.
    fn forget_tenant(&self, tenant: TenantId);
}

/// The tenant, plugin and limits that a call applies to.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin.
    pub plugin: &'a PluginName,
    /// The limits of the call.
    pub limits: &'a Limits,
    /// The tenant's snapshot that the limits belong to. A later snapshot has a larger number.
    pub snapshot: u64,
}

/// A value as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// Why a call to the cache failed.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CacheError {
    /// The value exceeds the size limit of an entry. Blame: guest.
    #[error("the value is larger than the {0} that one cache entry may have")]
    TooLarge(ByteSize),
    /// The entry is not a number, or the sum does not fit into 64 bits. Blame: guest.
    #[error("the entry is not a number that can be incremented")]
    NotANumber,
    /// The back end is unreachable or did not answer in time. Blame: host.
    #[error("{0}")]
    Unavailable(String),
    /// The host call exceeds a limit of the invocation. Blame: limit.
    #[error(transparent)]
    Refused(#[from] HostCallRefused),
}

impl<'a> Scope<'a> {
    /// The scope of a plugin's active version.
    pub fn of(active: &'a ActiveVersion) -> Self {
        Self {
            tenant: active.tenant,
            plugin: &active.plugin,
            limits: &active.limits,
            snapshot: active.snapshot,
        }
    }
}

impl Value {
    /// Bytes of the content.
    pub(super) fn len(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        }
    }
}

/// A ready result.
pub(super) fn at_hand<'a, T>(answer: Result<T, CacheError>) -> Answer<'a, T> {
    Either::Left(ready(answer))
}
