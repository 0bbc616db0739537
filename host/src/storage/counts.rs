//! How many things of each kind a tenant has, where its plan bounds them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;

/// What a tenant has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// Plugins.
    pub plugins: u32,
    /// API keys that work.
    pub api_keys: u32,
    /// Tokens of its people that work.
    pub tokens: u32,
    /// Secrets.
    pub secrets: u32,
    /// Settings of all its plugins together.
    pub config_entries: u32,
}

/// Counts.
#[async_trait]
pub trait Counted {
    /// What the tenant has at `now`.
    async fn counts(&self, tenant: TenantId, now: Timestamp) -> Result<Counts, DbError>;

    /// Deletes the API keys and the tokens of the tenant that were revoked or have expired, all but
    /// the newest `keep` of each.
    async fn forget_dead_credentials(
        &self,
        tenant: TenantId,
        now: Timestamp,
        keep: u32,
    ) -> Result<(), DbError>;
}
