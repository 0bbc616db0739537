//! Lists, searches and changes of mail in SQLite.

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteRepository, jobs, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::id::{MailId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::mail::Mail;
use crate::storage::{DbError, MailFilter, MailLists, MailPosition, MailTotals, Mails as _, Page, Resent};

#[async_trait]
impl MailLists for SqliteRepository {
    async fn mails(
        &self,
        tenant: TenantId,
        filter: &MailFilter,
        page: Page<MailPosition>,
    ) -> Result<Vec<Mail>, DbError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut after = page.after.map(|MailPosition(id)| id);
        let mut found = Vec::new();
        loop {
            let wanted = limit - found.len();
            let ids = self.mail_ids(tenant, filter, after, wanted).await?;
            after = ids.last().copied();
            let is_last = ids.len() < wanted;
            for id in ids {
                // A row that cannot be read must not hide the others. A mail may also have been
                // deleted meanwhile.
                match self.mail(tenant, id).await {
                    Ok(mail) => found.extend(mail),
                    Err(error @ DbError::Corrupt { .. }) => {
                        tracing::error!(%error, mail = %id, "a mail cannot be read");
                    }
                    Err(error) => return Err(error),
                }
            }
            if is_last || found.len() >= limit {
                return Ok(found);
            }
        }
    }

    async fn resend_mail(
        &self,
        tenant: TenantId,
        id: MailId,
        job: &NewJob,
        change: &Change,
    ) -> Result<Option<Resent>, DbError> {
        let mut transaction = self.begin().await?;
        let waits = sqlx::query(WAITS)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
        let Some(waits) = waits else {
            return Ok(None);
        };
        if row::flag(&waits, "waits")? {
            return Ok(Some(Resent::Waits));
        }
        let open = sqlx::query(
            "SELECT 1 FROM mail_recipients WHERE tenant = $1 AND mail = $2 AND state <> 'accepted' LIMIT 1",
        )
        .bind(tenant.to_string())
        .bind(id.to_string())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(unavailable)?;
        let again = match open {
            Some(_) => AGAIN_TO_THE_OTHERS,
            None => AGAIN_TO_ALL,
        };
        sqlx::query(again)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        sqlx::query(
            "UPDATE mails SET state = 'queued', job = $3, ended_at = NULL, error = NULL \
             WHERE tenant = $1 AND id = $2",
        )
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(job.id.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        jobs::insert_in(&mut transaction, &[job]).await?;
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(Some(Resent::Queued))
    }

    async fn delete_mail(&self, tenant: TenantId, id: MailId, change: &Change) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        if delete(&mut transaction, tenant, &[id]).await? == 0 {
            return Ok(false);
        }
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(true)
    }

    async fn delete_mails(
        &self,
        tenant: TenantId,
        filter: &MailFilter,
        limit: u32,
        change: &Change,
    ) -> Result<u32, DbError> {
        // A search may take long, so it runs before the only connection that writes is taken. Mail
        // that is deleted meanwhile is not counted.
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let ids = self.mail_ids(tenant, filter, None, wanted).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.begin().await?;
        let deleted = delete(&mut transaction, tenant, &ids).await?;
        if deleted == 0 {
            return Ok(0);
        }
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(deleted)
    }

    async fn mail_totals(&self) -> Result<MailTotals, DbError> {
        let row = sqlx::query(TOTALS)
            .fetch_one(&self.readers)
            .await
            .map_err(unavailable)?;
        Ok(MailTotals {
            queued: row::number(&row, "queued")?,
            caught: row::number(&row, "caught")?,
            failed: row::number(&row, "failed")?,
        })
    }
}

impl SqliteRepository {
    /// The ids of the mails that match, the newest first.
    async fn mail_ids(
        &self,
        tenant: TenantId,
        filter: &MailFilter,
        after: Option<MailId>,
        limit: usize,
    ) -> Result<Vec<MailId>, DbError> {
        let mut query = select(tenant, filter);
        if let Some(after) = after {
            query.push(" AND id < ").push_bind(after.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
        let query = query.build().persistent(false);
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(|row| row::parsed(row, "id")).collect()
    }
}

/// Begins a statement for the ids of the mails that match. More conditions and the order may be
/// added.
fn select(tenant: TenantId, filter: &MailFilter) -> QueryBuilder<Sqlite> {
    let MailFilter {
        plugin,
        states,
        recipient,
        tag,
        text,
        from,
        to,
    } = filter;
    let tenant = tenant.to_string();
    let mut query = QueryBuilder::new("SELECT id FROM mails WHERE tenant = ");
    query.push_bind(tenant.clone());
    if let Some(plugin) = plugin {
        query.push(" AND plugin = ").push_bind(plugin.to_string());
    }
    if let Some(from) = from {
        query.push(" AND created_at >= ").push_bind(from.0);
    }
    if let Some(to) = to {
        query.push(" AND created_at < ").push_bind(to.0);
    }
    if !states.is_empty() {
        query.push(" AND state IN (");
        let mut list = query.separated(", ");
        for state in states {
            list.push_bind(state.as_str());
        }
        query.push(")");
    }
    if let Some(recipient) = recipient {
        query
            .push(" AND id IN (SELECT mail FROM mail_recipients WHERE tenant = ")
            .push_bind(tenant.clone())
            .push(" AND address = ")
            .push_bind(recipient.to_string())
            .push(" COLLATE NOCASE)");
    }
    if let Some(tag) = tag {
        query
            .push(" AND EXISTS (SELECT 1 FROM json_each(mails.tags) WHERE value = ")
            .push_bind(tag.clone())
            .push(")");
    }
    if let Some(text) = text {
        let pattern = like(text);
        query.push(" AND (subject LIKE ").push_bind(pattern.clone());
        query
            .push(" ESCAPE '\\' OR from_address LIKE ")
            .push_bind(pattern.clone());
        query
            .push(
                " ESCAPE '\\' OR EXISTS (SELECT 1 FROM mail_recipients AS r \
                 WHERE r.tenant = mails.tenant AND r.mail = mails.id AND r.address LIKE ",
            )
            .push_bind(pattern.clone());
        query
            .push(
                " ESCAPE '\\') OR EXISTS (SELECT 1 FROM mail_contents AS c \
                 WHERE c.tenant = mails.tenant AND c.mail = mails.id AND c.text LIKE ",
            )
            .push_bind(pattern);
        query.push(" ESCAPE '\\'))");
    }
    query
}

/// A pattern of `LIKE` for texts that contain `text`.
fn like(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// Deletes mails with their recipients and contents, which the database deletes with them. Returns
/// how many there were.
async fn delete(connection: &mut SqliteConnection, tenant: TenantId, ids: &[MailId]) -> Result<u32, DbError> {
    let deleted =
        sqlx::query("DELETE FROM mails WHERE tenant = $1 AND id IN (SELECT value FROM json_each($2))")
            .bind(tenant.to_string())
            .bind(row::to_json(&ids, "mails.id")?)
            .execute(connection)
            .await
            .map_err(unavailable)?;
    Ok(u32::try_from(deleted.rows_affected()).unwrap_or(u32::MAX))
}

/// Whether a mail waits for its job. A mail whose job was purged does not.
const WAITS: &str = "SELECT state = 'queued' AND EXISTS (SELECT 1 FROM jobs \
        WHERE jobs.tenant = mails.tenant AND jobs.id = mails.job) AS waits \
    FROM mails WHERE tenant = $1 AND id = $2";

const AGAIN_TO_ALL: &str = "UPDATE mail_recipients SET state = 'pending', reply = NULL, at = NULL \
    WHERE tenant = $1 AND mail = $2";

const AGAIN_TO_THE_OTHERS: &str = "UPDATE mail_recipients SET state = 'pending', reply = NULL, at = NULL \
    WHERE tenant = $1 AND mail = $2 AND state <> 'accepted'";

/// Each number is counted in an index that has only the mails of its state.
const TOTALS: &str = "SELECT (SELECT count(*) FROM mails WHERE state = 'queued') AS queued, \
    (SELECT count(*) FROM mails WHERE state = 'caught') AS caught, \
    (SELECT count(*) FROM mails WHERE state = 'failed') AS failed";
