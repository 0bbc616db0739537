//! Counts of the things that a tenant's plan limits.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::DbError;
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;

/// Counts of a tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counts {
    /// Plugins.
    pub plugins: u32,
    /// Valid API keys.
    pub api_keys: u32,
    /// Valid tokens.
    pub tokens: u32,
    /// Secrets.
    pub secrets: u32,
    /// Settings of all plugins.
    pub config_entries: u32,
    /// Live jobs: those that wait or run.
    pub jobs: u32,
    /// Jobs that run.
    pub jobs_running: u32,
    /// Stored jobs that are done or cancelled.
    pub ended_jobs: u32,
    /// Stored dead letters.
    pub dead_jobs: u32,
    /// Schedules of the active versions.
    pub schedules: u32,
    /// Endpoints for webhooks.
    pub webhook_endpoints: u32,
    /// Stored mails.
    pub mails: u32,
    /// Addresses to which no mail is sent.
    pub suppressions: u32,
}

/// Queries for the counts.
#[async_trait]
pub trait Counted {
    /// The tenant's counts at `now`.
    async fn counts(&self, tenant: TenantId, now: Timestamp) -> Result<Counts, DbError>;

    /// Deletes the tenant's revoked or expired API keys and tokens, except the newest `keep` of
    /// each.
    async fn forget_dead_credentials(
        &self,
        tenant: TenantId,
        now: Timestamp,
        keep: u32,
    ) -> Result<(), DbError>;
}
