//! Mail in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteRepository, jobs, row, tenants, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::{MailId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::mail::{
    Mail, MailContent, MailCounts, MailState, NewMail, Outcome, Recipient, RecipientKind, RecipientState,
};
use crate::domain::units::as_u64;
use crate::storage::{DbError, MAIL_HOUR, MAIL_KEY_LIFETIME, MailAdded, Mails};

#[async_trait]
impl Mails for SqliteRepository {
    async fn add_mail(&self, new: &NewMail, job: &NewJob, hourly: u32) -> Result<MailAdded, DbError> {
        let mail = &new.mail;
        let mut transaction = self.begin().await?;
        let known = tenants::existing(&mut transaction, [mail.tenant].into()).await?;
        if !known.contains(&mail.tenant) {
            return Ok(MailAdded::NoTenant);
        }
        if let Some(earlier) = with_key(&mut transaction, mail).await? {
            return Ok(MailAdded::Exists(earlier));
        }
        if since(
            &mut transaction,
            mail.tenant,
            mail.created_at.saturating_sub(MAIL_HOUR),
        )
        .await?
            >= u64::from(hourly)
        {
            return Ok(MailAdded::TooMany);
        }
        insert(&mut transaction, new).await?;
        jobs::insert_in(&mut transaction, &[job]).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(MailAdded::New(mail.id))
    }

    async fn mail(&self, tenant: TenantId, id: MailId) -> Result<Option<Mail>, DbError> {
        let mut reader = self.readers.acquire().await.map_err(unavailable)?;
        let found = sqlx::query("SELECT * FROM mails WHERE tenant = $1 AND id = $2")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&mut *reader)
            .await
            .map_err(unavailable)?;
        let Some(found) = found else {
            return Ok(None);
        };
        let recipients = sqlx::query(RECIPIENTS)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_all(&mut *reader)
            .await
            .map_err(unavailable)?;
        let mut mail = read(&found)?;
        mail.recipients = recipients.iter().map(recipient).collect::<Result<_, _>>()?;
        Ok(Some(mail))
    }

    async fn mail_content(&self, tenant: TenantId, id: MailId) -> Result<Option<MailContent>, DbError> {
        let found =
            sqlx::query("SELECT text, html, source FROM mail_contents WHERE tenant = $1 AND mail = $2")
                .bind(tenant.to_string())
                .bind(id.to_string())
                .fetch_optional(&self.readers)
                .await
                .map_err(unavailable)?;
        let read = |row: &SqliteRow| {
            Ok(MailContent {
                text: row::text(row, "text")?,
                html: row::optional_text(row, "html")?,
                source: row::bytes(row, "source")?,
            })
        };
        found.as_ref().map(read).transpose()
    }

    async fn note_sent(
        &self,
        tenant: TenantId,
        id: MailId,
        outcomes: &[Outcome],
        state: MailState,
        error: Option<&str>,
        at: Timestamp,
    ) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        for outcome in outcomes {
            sqlx::query(NOTE_RECIPIENT)
                .bind(tenant.to_string())
                .bind(id.to_string())
                .bind(outcome.address.as_str())
                .bind(outcome.state.as_str())
                .bind(outcome.reply.as_deref())
                .bind(at.0)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
        }
        let ended_at = (state != MailState::Queued).then_some(at.0);
        let noted = sqlx::query(NOTE_MAIL)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .bind(state.as_str())
            .bind(error)
            .bind(ended_at)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(noted.rows_affected() > 0)
    }

    async fn fail_mail(
        &self,
        tenant: TenantId,
        id: MailId,
        error: &str,
        at: Timestamp,
    ) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        let waiting = sqlx::query("SELECT 1 FROM mails WHERE tenant = $1 AND id = $2 AND state = 'queued'")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
        if waiting.is_none() {
            return Ok(());
        }
        sqlx::query(FAIL_RECIPIENTS)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .bind(at.0)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        sqlx::query(FAIL_MAIL)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .bind(error)
            .bind(at.0)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        transaction.commit().await.map_err(unavailable)
    }

    async fn mail_counts(&self, tenant: TenantId, from: Timestamp) -> Result<MailCounts, DbError> {
        let mut reader = self.readers.acquire().await.map_err(unavailable)?;
        let kept = sqlx::query("SELECT kept FROM mail_counts WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_optional(&mut *reader)
            .await
            .map_err(unavailable)?;
        Ok(MailCounts {
            kept: kept.map_or(Ok(0), |row| row::number(&row, "kept"))?,
            recent: since(&mut reader, tenant, from).await?,
        })
    }

    async fn tenants_with_mails(&self) -> Result<Vec<(TenantId, u64)>, DbError> {
        let rows = sqlx::query("SELECT tenant, kept FROM mail_counts WHERE kept > 0")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter()
            .map(|row| Ok((row::parsed(row, "tenant")?, row::number(row, "kept")?)))
            .collect()
    }

    async fn prune_mails(&self, before: Timestamp, limit: u32) -> Result<u32, DbError> {
        let deleted = sqlx::query(PRUNE)
            .bind(before.0)
            .bind(i64::from(limit))
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(u32::try_from(deleted.rows_affected()).unwrap_or(u32::MAX))
    }

    async fn trim_mails(&self, tenant: TenantId, kept: u64, limit: u32) -> Result<u32, DbError> {
        let deleted = sqlx::query(TRIM)
            .bind(tenant.to_string())
            .bind(row::to_integer(kept))
            .bind(i64::from(limit))
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(u32::try_from(deleted.rows_affected()).unwrap_or(u32::MAX))
    }
}

impl SqliteRepository {
    /// Deletes the mails of a tenant before it is purged, in blocks, between which other writers
    /// take their turns.
    pub(super) async fn clear_mails(&self, tenant: TenantId) -> Result<(), DbError> {
        loop {
            let deleted = sqlx::query(CLEAR)
                .bind(tenant.to_string())
                .bind(CLEARED_AT_ONCE)
                .execute(&self.writer)
                .await
                .map_err(unavailable)?;
            if deleted.rows_affected() < as_u64(usize::try_from(CLEARED_AT_ONCE).unwrap_or(usize::MAX)) {
                return Ok(());
            }
        }
    }
}

/// An earlier mail of the plugin with the same key.
async fn with_key(connection: &mut SqliteConnection, mail: &Mail) -> Result<Option<MailId>, DbError> {
    let Some(key) = &mail.idempotency_key else {
        return Ok(None);
    };
    let found = sqlx::query(WITH_KEY)
        .bind(mail.tenant.to_string())
        .bind(mail.plugin.as_str())
        .bind(key)
        .bind(mail.created_at.saturating_sub(MAIL_KEY_LIFETIME).0)
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    found.map(|row| row::parsed(&row, "id")).transpose()
}

/// How many mails the tenant added after this time.
async fn since(connection: &mut SqliteConnection, tenant: TenantId, from: Timestamp) -> Result<u64, DbError> {
    let row = sqlx::query("SELECT count(*) AS mails FROM mails WHERE tenant = $1 AND created_at > $2")
        .bind(tenant.to_string())
        .bind(from.0)
        .fetch_one(connection)
        .await
        .map_err(unavailable)?;
    row::number(&row, "mails")
}

async fn insert(connection: &mut SqliteConnection, new: &NewMail) -> Result<(), DbError> {
    let NewMail { mail, content } = new;
    sqlx::query(INSERT)
        .bind(mail.tenant.to_string())
        .bind(mail.id.to_string())
        .bind(mail.plugin.as_str())
        .bind(mail.from.as_str())
        .bind(mail.subject.as_str())
        .bind(row::to_json(&mail.tags, "mails.tags")?)
        .bind(mail.template.as_deref())
        .bind(mail.state.as_str())
        .bind(mail.job.to_string())
        .bind(row::to_integer(mail.size))
        .bind(row::to_json(&mail.attachments, "mails.attachments")?)
        .bind(mail.idempotency_key.as_deref())
        .bind(mail.created_at.0)
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    sqlx::query("INSERT INTO mail_contents (tenant, mail, text, html, source) VALUES ($1, $2, $3, $4, $5)")
        .bind(mail.tenant.to_string())
        .bind(mail.id.to_string())
        .bind(content.text.as_str())
        .bind(content.html.as_deref())
        .bind(content.source.as_slice())
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    if mail.recipients.is_empty() {
        return Ok(());
    }
    let (tenant, id) = (mail.tenant.to_string(), mail.id.to_string());
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO mail_recipients (tenant, mail, position, address, kind, state) ",
    );
    query.push_values(
        mail.recipients.iter().enumerate(),
        |mut values, (position, recipient)| {
            values
                .push_bind(tenant.clone())
                .push_bind(id.clone())
                .push_bind(row::to_integer(as_u64(position)))
                .push_bind(recipient.address.as_str())
                .push_bind(recipient.kind.as_str())
                .push_bind(recipient.state.as_str());
        },
    );
    let query = query.build().persistent(mail.recipients.len() == 1);
    query.execute(connection).await.map_err(unavailable)?;
    Ok(())
}

/// Reads a row of `mails`, without the receivers.
pub(super) fn read(row: &SqliteRow) -> Result<Mail, DbError> {
    let state = row::text(row, "state")?;
    Ok(Mail {
        id: row::parsed(row, "id")?,
        tenant: row::parsed(row, "tenant")?,
        plugin: row::parsed(row, "plugin")?,
        from: row::parsed(row, "from_address")?,
        subject: row::text(row, "subject")?,
        tags: row::json(row, "tags")?,
        template: row::optional_text(row, "template")?,
        state: MailState::named(&state).ok_or_else(|| DbError::corrupt("mails.state", state))?,
        job: row::parsed(row, "job")?,
        size: row::number(row, "size")?,
        attachments: row::lenient(row, "attachments")?,
        idempotency_key: row::optional_text(row, "idempotency_key")?,
        created_at: row::timestamp(row, "created_at")?,
        ended_at: row::optional_timestamp(row, "ended_at")?,
        error: row::optional_text(row, "error")?,
        recipients: Vec::new(),
    })
}

/// Reads a row of `mail_recipients`.
fn recipient(row: &SqliteRow) -> Result<Recipient, DbError> {
    let (kind, state) = (row::text(row, "kind")?, row::text(row, "state")?);
    Ok(Recipient {
        address: row::parsed(row, "address")?,
        kind: RecipientKind::named(&kind).ok_or_else(|| DbError::corrupt("mail_recipients.kind", kind))?,
        state: RecipientState::named(&state)
            .ok_or_else(|| DbError::corrupt("mail_recipients.state", state))?,
        reply: row::optional_text(row, "reply")?,
        at: row::optional_timestamp(row, "at")?,
    })
}

const CLEARED_AT_ONCE: i64 = 200;

const WITH_KEY: &str = "SELECT id FROM mails WHERE tenant = $1 AND plugin = $2 AND idempotency_key = $3 \
    AND created_at > $4 ORDER BY created_at DESC LIMIT 1";

const INSERT: &str = "INSERT INTO mails (tenant, id, plugin, from_address, subject, tags, template, state, job, \
    size, attachments, idempotency_key, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const RECIPIENTS: &str = "SELECT address, kind, state, reply, at FROM mail_recipients \
    WHERE tenant = $1 AND mail = $2 ORDER BY position";

/// A receiver who has the mail keeps that state: an attempt that was lost may end later.
const NOTE_RECIPIENT: &str = "UPDATE mail_recipients SET state = $4, reply = $5, at = $6 \
    WHERE tenant = $1 AND mail = $2 AND address = $3 AND state NOT IN ('accepted', 'caught')";

const NOTE_MAIL: &str =
    "UPDATE mails SET state = $3, error = $4, ended_at = $5 WHERE tenant = $1 AND id = $2";

const FAIL_RECIPIENTS: &str = "UPDATE mail_recipients SET state = 'failed', at = $3 \
    WHERE tenant = $1 AND mail = $2 AND state = 'pending'";

const FAIL_MAIL: &str = "UPDATE mails SET error = $3, ended_at = $4, state = \
    CASE WHEN EXISTS (SELECT 1 FROM mail_recipients AS r WHERE r.tenant = $1 AND r.mail = $2 AND r.state = 'accepted') \
    THEN 'sent' ELSE 'failed' END WHERE tenant = $1 AND id = $2";

/// A mail whose job is gone, because somebody purged it, waits for nothing.
const PRUNE: &str = "DELETE FROM mails WHERE (tenant, id) IN \
    (SELECT tenant, id FROM mails WHERE created_at < $1 AND (state <> 'queued' OR NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.tenant = mails.tenant AND jobs.id = mails.job)) \
      ORDER BY created_at LIMIT $2)";

const TRIM: &str = "DELETE FROM mails WHERE (tenant, id) IN \
    (SELECT tenant, id FROM mails WHERE tenant = $1 AND (state <> 'queued' OR NOT EXISTS \
        (SELECT 1 FROM jobs WHERE jobs.tenant = mails.tenant AND jobs.id = mails.job)) ORDER BY created_at \
     LIMIT MIN($3, MAX(0, (SELECT kept FROM mail_counts WHERE tenant = $1) - $2)))";

const CLEAR: &str =
    "DELETE FROM mails WHERE (tenant, id) IN (SELECT tenant, id FROM mails WHERE tenant = $1 LIMIT $2)";
