//! What a back end of the cache does. The host calls know this trait and no back end.

use std::time::Duration;

use futures_util::future::{BoxFuture, Either, Ready, ready};

use super::super::{ActiveVersion, HostCallRefused};
use crate::domain::id::{PluginName, TenantId};
use crate::domain::limits::Limits;
use crate::domain::units::ByteSize;

/// The answer of a back end: at hand, or one to wait for. One that is at hand costs no allocation
/// and no wait.
pub type Answer<'a, T> = Either<Ready<Result<T, CacheError>>, BoxFuture<'a, Result<T, CacheError>>>;

/// The caches of all tenants. Entries of one plugin are out of reach for others, and no tenant's
/// entries push out those of another.
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

    /// Stores a value if there is none; true if it did. Of many at once, one does.
    fn set_if_absent<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        value: Value,
        ttl: Option<Duration>,
    ) -> Answer<'a, bool>;

    /// Adds `delta` to the number under `key`, which begins with zero, and gives the sum. `ttl`
    /// holds for a number that begins.
    fn increment<'a>(
        &'a self,
        scope: Scope<'a>,
        key: String,
        delta: i64,
        ttl: Option<Duration>,
    ) -> Answer<'a, i64>;

    /// Forgets a value.
    fn delete<'a>(&'a self, scope: Scope<'a>, key: String) -> Answer<'a, ()>;

    /// Bytes of the tenant's entries, with what each takes besides, as far as this host knows.
    fn bytes(&self, scope: Scope<'_>) -> u64;

    /// Forgets everything of a tenant that is gone. Nobody asks for it any more, since ids are
    /// never used twice, so that the caller does not wait for it.
    fn forget_tenant(&self, tenant: TenantId);
}

/// Whose entries a call sees, and how much they may hold.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The tenant.
    pub tenant: TenantId,
    /// The plugin.
    pub plugin: &'a PluginName,
    /// The limits that hold for the call.
    pub limits: &'a Limits,
    /// Which snapshot of the tenant the limits are of; a later one has a larger number.
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

/// Why a call did not do what it should.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CacheError {
    /// Larger than one entry may be. Blame: guest.
    #[error("the value is larger than the {0} that one cache entry may have")]
    TooLarge(ByteSize),
    /// An increment of something that is no number, or beyond 64 bits. Blame: guest.
    #[error("the entry is not a number that can be incremented")]
    NotANumber,
    /// The back end cannot be reached, or not in time. Blame: host.
    #[error("{0}")]
    Unavailable(String),
    /// The host call is not made. Blame: limit.
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
    /// Bytes of its content.
    pub(super) fn len(&self) -> usize {
        match self {
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        }
    }
}

/// An answer that is there already.
pub(super) fn at_hand<'a, T>(answer: Result<T, CacheError>) -> Answer<'a, T> {
    Either::Left(ready(answer))
}
