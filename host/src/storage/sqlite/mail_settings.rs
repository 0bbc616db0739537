//! Settings for mail and the suppression list in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::Sqlite;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};

use super::{SqliteRepository, or_missing, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::id::TenantId;
use crate::domain::mail_failures::MailFailures;
use crate::domain::resource::Resource;
use crate::domain::smtp::SmtpSettings;
use crate::domain::suppression::{AddressKey, Suppression};
use crate::domain::unsubscribe::UnsubscribeKey;
use crate::storage::{DbError, MailSettings, Page};

#[async_trait]
impl MailSettings for SqliteRepository {
    async fn smtp_settings(&self, tenant: TenantId) -> Result<Option<SmtpSettings>, DbError> {
        let row = sqlx::query("SELECT settings FROM mail_smtp WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(|row| row::lenient(row, "settings")).transpose()
    }

    async fn put_smtp_settings(
        &self,
        tenant: TenantId,
        settings: &SmtpSettings,
        change: &Change,
    ) -> Result<(), DbError> {
        let put = sqlx::query(
            "INSERT INTO mail_smtp (tenant, settings) VALUES ($1, $2) \
             ON CONFLICT (tenant) DO UPDATE SET settings = excluded.settings",
        )
        .bind(tenant.to_string())
        .bind(row::to_json(settings, "mail_smtp.settings")?);
        self.put_of_mail(tenant, change, put).await.map(drop)
    }

    async fn delete_smtp_settings(&self, tenant: TenantId, change: &Change) -> Result<bool, DbError> {
        let delete = sqlx::query("DELETE FROM mail_smtp WHERE tenant = $1").bind(tenant.to_string());
        self.put_of_mail(tenant, change, delete).await
    }

    async fn sender_domains(&self, tenant: TenantId) -> Result<BTreeSet<String>, DbError> {
        let rows = sqlx::query("SELECT domain FROM mail_sender_domains WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(|row| row::text(row, "domain")).collect()
    }

    async fn put_sender_domains(
        &self,
        tenant: TenantId,
        domains: &BTreeSet<String>,
        change: &Change,
    ) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        // An empty list adds no row whose foreign key could fail.
        let there = sqlx::query("SELECT 1 FROM tenants WHERE id = $1")
            .bind(tenant.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
        there.ok_or(DbError::Missing(Resource::Tenant))?;
        sqlx::query("DELETE FROM mail_sender_domains WHERE tenant = $1")
            .bind(tenant.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        for domain in domains {
            sqlx::query("INSERT INTO mail_sender_domains (tenant, domain) VALUES ($1, $2)")
                .bind(tenant.to_string())
                .bind(domain.as_str())
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
        }
        self.commit_without_generation(transaction, Some(tenant), change)
            .await
    }

    async fn mail_failures(&self, tenant: TenantId) -> Result<MailFailures, DbError> {
        let row = sqlx::query("SELECT failures FROM mail_failures WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.map_or_else(
            || Ok(MailFailures::default()),
            |row| row::lenient(&row, "failures"),
        )
    }

    async fn put_mail_failures(
        &self,
        tenant: TenantId,
        failures: &MailFailures,
        change: &Change,
    ) -> Result<(), DbError> {
        let put = sqlx::query(
            "INSERT INTO mail_failures (tenant, failures) VALUES ($1, $2) \
             ON CONFLICT (tenant) DO UPDATE SET failures = excluded.failures",
        )
        .bind(tenant.to_string())
        .bind(row::to_json(failures, "mail_failures.failures")?);
        self.put_of_mail(tenant, change, put).await.map(drop)
    }

    async fn unsubscribe_key(&self, tenant: TenantId) -> Result<UnsubscribeKey, DbError> {
        if let Some(key) = self.stored_unsubscribe_key(tenant).await? {
            return Ok(key);
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| DbError::Unavailable(error.to_string().into()))?;
        // Another caller may have been faster; its key stays.
        sqlx::query("INSERT INTO mail_keys (tenant, unsubscribe) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(tenant.to_string())
            .bind(key.as_slice())
            .execute(&self.writer)
            .await
            .map_err(or_missing(Resource::Tenant))?;
        let key = self.stored_unsubscribe_key(tenant).await?;
        key.ok_or(DbError::Missing(Resource::Tenant))
    }

    async fn suppress(
        &self,
        tenant: TenantId,
        suppression: &Suppression,
        change: &Change,
    ) -> Result<bool, DbError> {
        let insert = sqlx::query(
            "INSERT INTO mail_suppressions (tenant, address, reason, detail, mail, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, address) DO NOTHING",
        )
        .bind(tenant.to_string())
        .bind(suppression.address.as_str())
        .bind(suppression.reason.as_str())
        .bind(suppression.detail.as_deref())
        .bind(suppression.mail.map(|mail| mail.to_string()))
        .bind(suppression.created_at.0);
        self.put_of_mail(tenant, change, insert).await
    }

    async fn unsuppress(
        &self,
        tenant: TenantId,
        address: &AddressKey,
        change: &Change,
    ) -> Result<bool, DbError> {
        let delete = sqlx::query("DELETE FROM mail_suppressions WHERE tenant = $1 AND address = $2")
            .bind(tenant.to_string())
            .bind(address.as_str());
        self.put_of_mail(tenant, change, delete).await
    }

    async fn suppressed(
        &self,
        tenant: TenantId,
        addresses: &[AddressKey],
    ) -> Result<BTreeSet<AddressKey>, DbError> {
        let rows = sqlx::query(SUPPRESSED)
            .bind(tenant.to_string())
            .bind(row::to_json(&addresses, "mail_suppressions.address")?)
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(|row| row::parsed(row, "address")).collect()
    }

    async fn suppressions(
        &self,
        tenant: TenantId,
        page: Page<AddressKey>,
    ) -> Result<Vec<Suppression>, DbError> {
        let after = page.after.map_or(String::new(), String::from);
        let rows = sqlx::query(
            "SELECT * FROM mail_suppressions WHERE tenant = $1 AND address > $2 ORDER BY address LIMIT $3",
        )
        .bind(tenant.to_string())
        .bind(after)
        .bind(i64::from(page.limit))
        .fetch_all(&self.readers)
        .await
        .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }
}

impl SqliteRepository {
    /// Changes settings for mail with a single statement. `false`, and nothing is written, if it
    /// changes no row.
    async fn put_of_mail(
        &self,
        tenant: TenantId,
        change: &Change,
        statement: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        let changed = statement
            .execute(&mut *transaction)
            .await
            .map_err(or_missing(Resource::Tenant))?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(true)
    }

    async fn stored_unsubscribe_key(&self, tenant: TenantId) -> Result<Option<UnsubscribeKey>, DbError> {
        let row = sqlx::query("SELECT unsubscribe FROM mail_keys WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else {
            return Ok(None);
        };
        let key = <[u8; 32]>::try_from(row::bytes(&row, "unsubscribe")?)
            .map_err(|_| DbError::corrupt("mail_keys.unsubscribe", "a key has 32 bytes"))?;
        Ok(Some(UnsubscribeKey::new(key)))
    }
}

/// The addresses that are asked for and on the list.
const SUPPRESSED: &str = "SELECT address FROM json_each($2) AS asked \
    CROSS JOIN mail_suppressions ON tenant = $1 AND address = asked.value";

fn read(row: &SqliteRow) -> Result<Suppression, DbError> {
    Ok(Suppression {
        address: row::parsed(row, "address")?,
        reason: row::parsed(row, "reason")?,
        detail: row::optional_text(row, "detail")?,
        mail: row::optional_parsed(row, "mail")?,
        created_at: row::timestamp(row, "created_at")?,
    })
}
