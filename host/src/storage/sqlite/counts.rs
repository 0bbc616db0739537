//! Counts of the things that a tenant's plan limits, in SQLite.

use async_trait::async_trait;

use super::{SqliteRepository, row, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::TenantId;
use crate::storage::{Counted, Counts, DbError};

#[async_trait]
impl Counted for SqliteRepository {
    async fn counts(&self, tenant: TenantId, now: Timestamp) -> Result<Counts, DbError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM plugins WHERE tenant = $1) AS plugins, \
                 (SELECT count(*) FROM api_keys WHERE tenant = $1 AND revoked_at IS NULL \
                     AND (expires_at IS NULL OR expires_at > $2)) AS api_keys, \
                 (SELECT count(*) FROM tokens WHERE tenant = $1 AND revoked_at IS NULL \
                     AND (expires_at IS NULL OR expires_at > $2)) AS tokens, \
                 (SELECT count(*) FROM secrets WHERE tenant = $1) AS secrets, \
                 (SELECT count(*) FROM config WHERE tenant = $1) AS config_entries, \
                 COALESCE((SELECT live FROM job_counts WHERE tenant = $1), 0) AS jobs, \
                 (SELECT count(*) FROM jobs WHERE tenant = $1 AND state = 'running') AS jobs_running, \
                 COALESCE((SELECT done FROM job_counts WHERE tenant = $1), 0) AS ended_jobs, \
                 COALESCE((SELECT dead FROM job_counts WHERE tenant = $1), 0) AS dead_jobs, \
                 (SELECT count(*) FROM schedules WHERE tenant = $1) AS schedules, \
                 (SELECT count(*) FROM webhook_endpoints WHERE tenant = $1) AS webhook_endpoints, \
                 (SELECT count(*) FROM mail_suppressions WHERE tenant = $1) AS suppressions, \
                 COALESCE((SELECT kept FROM mail_counts WHERE tenant = $1), 0) AS mails",
        )
        .bind(tenant.to_string())
        .bind(now.0)
        .fetch_one(&self.readers)
        .await
        .map_err(unavailable)?;
        Ok(Counts {
            plugins: row::number(&row, "plugins")?,
            api_keys: row::number(&row, "api_keys")?,
            tokens: row::number(&row, "tokens")?,
            secrets: row::number(&row, "secrets")?,
            config_entries: row::number(&row, "config_entries")?,
            jobs: row::number(&row, "jobs")?,
            jobs_running: row::number(&row, "jobs_running")?,
            ended_jobs: row::number(&row, "ended_jobs")?,
            dead_jobs: row::number(&row, "dead_jobs")?,
            schedules: row::number(&row, "schedules")?,
            webhook_endpoints: row::number(&row, "webhook_endpoints")?,
            mails: row::number(&row, "mails")?,
            suppressions: row::number(&row, "suppressions")?,
        })
    }

    async fn forget_dead_credentials(
        &self,
        tenant: TenantId,
        now: Timestamp,
        keep: u32,
    ) -> Result<(), DbError> {
        for forget in [
            "DELETE FROM api_keys WHERE id IN (SELECT id FROM api_keys WHERE tenant = $1 \
                 AND (revoked_at IS NOT NULL OR expires_at <= $2) ORDER BY id DESC LIMIT -1 OFFSET $3)",
            "DELETE FROM tokens WHERE id IN (SELECT id FROM tokens WHERE tenant = $1 \
                 AND (revoked_at IS NOT NULL OR expires_at <= $2) ORDER BY id DESC LIMIT -1 OFFSET $3)",
        ] {
            sqlx::query(forget)
                .bind(tenant.to_string())
                .bind(now.0)
                .bind(i64::from(keep))
                .execute(&self.writer)
                .await
                .map_err(unavailable)?;
        }
        Ok(())
    }
}
