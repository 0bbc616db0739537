//! Received webhooks in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteRepository, jobs, or_missing, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobId, PluginName, ReceivedId, TenantId};
use crate::domain::job::NewJob;
use crate::domain::received::{NewReceived, Received, WebhookContent};
use crate::domain::resource::Resource;
use crate::domain::units::as_u64;
use crate::storage::{
    Added, DbError, KeptWebhooks, Page, Receipt, ReceivedFilter, ReceivedPosition, WebhookCounts,
    WebhooksReceived,
};

/// Rows that are deleted at once.
const BLOCK: u32 = 100;

#[async_trait]
impl WebhooksReceived for SqliteRepository {
    async fn receive_webhook(
        &self,
        received: &NewReceived,
        job: &NewJob,
        most: KeptWebhooks,
    ) -> Result<Receipt, DbError> {
        let mut transaction = self.begin().await?;
        if let Some(id) = repeated(&mut transaction, received).await? {
            transaction.commit().await.map_err(unavailable)?;
            return Ok(Receipt::Repeated(id));
        }
        let seq = insert(&mut transaction, received, job.id).await?;
        if !make_room(&mut transaction, received.tenant, seq, most).await? {
            // The transaction is dropped, and nothing was stored.
            return Ok(Receipt::Full);
        }
        jobs::insert_in(&mut transaction, &[job]).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(Receipt::New(received.id))
    }

    async fn received_webhook(&self, tenant: TenantId, id: ReceivedId) -> Result<Option<Received>, DbError> {
        let row = sqlx::query("SELECT * FROM webhooks_received WHERE tenant = $1 AND id = $2")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn webhook_content(
        &self,
        tenant: TenantId,
        id: ReceivedId,
    ) -> Result<Option<WebhookContent>, DbError> {
        let row = sqlx::query(CONTENT)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let read = |row: &SqliteRow| {
            Ok(WebhookContent {
                headers: row::json(row, "headers")?,
                body: row::text(row, "body")?,
            })
        };
        row.as_ref().map(read).transpose()
    }

    async fn received_webhooks(
        &self,
        tenant: TenantId,
        filter: &ReceivedFilter,
        page: Page<ReceivedPosition>,
    ) -> Result<Vec<Received>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM webhooks_received WHERE tenant = ");
        query.push_bind(tenant.to_string());
        if let Some(plugin) = &filter.plugin {
            query.push(" AND plugin = ").push_bind(plugin.to_string());
        }
        if let Some(webhook) = &filter.webhook {
            query.push(" AND webhook = ").push_bind(webhook.to_string());
        }
        if let Some(from) = filter.from {
            query.push(" AND received_at >= ").push_bind(from.0);
        }
        if let Some(to) = filter.to {
            query.push(" AND received_at < ").push_bind(to.0);
        }
        if let Some(ReceivedPosition(after)) = page.after {
            query.push(" AND id < ").push_bind(after.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(page.limit));
        let query = query.build().persistent(false);
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn replay_webhook(
        &self,
        tenant: TenantId,
        id: ReceivedId,
        job: &NewJob,
        change: &Change,
    ) -> Result<Option<Added>, DbError> {
        let mut transaction = self.begin().await?;
        let known = sqlx::query(LAST_JOB)
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
        let Some(known) = known else {
            return Ok(None);
        };
        if row::flag(&known, "is_live")? {
            return Ok(Some(Added::Exists(row::parsed(&known, "job")?)));
        }
        let added = jobs::insert_in(&mut transaction, &[job]).await?.pop();
        sqlx::query("UPDATE webhooks_received SET job = $1 WHERE seq = $2")
            .bind(job.id.to_string())
            .bind(row::integer(&known, "seq")?)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(added)
    }

    async fn delete_received(
        &self,
        tenant: TenantId,
        id: ReceivedId,
        change: &Change,
    ) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        let rows =
            sqlx::query("SELECT seq, tenant, bytes FROM webhooks_received WHERE tenant = $1 AND id = $2")
                .bind(tenant.to_string())
                .bind(id.to_string())
                .fetch_all(&mut *transaction)
                .await
                .map_err(unavailable)?;
        if rows.is_empty() {
            return Ok(false);
        }
        delete(&mut transaction, &rows).await?;
        self.commit_without_generation(transaction, Some(tenant), change)
            .await?;
        Ok(true)
    }

    async fn prune_received(&self, before: Timestamp, limit: u32) -> Result<u32, DbError> {
        let mut transaction = self.begin().await?;
        let rows = sqlx::query(OLD)
            .bind(before.0)
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await
            .map_err(unavailable)?;
        if rows.is_empty() {
            return Ok(0);
        }
        delete(&mut transaction, &rows).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(u32::try_from(rows.len()).unwrap_or(limit))
    }

    async fn webhook_counts(&self, tenant: TenantId) -> Result<WebhookCounts, DbError> {
        let row = sqlx::query("SELECT received, bytes FROM webhook_counts WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        let Some(row) = row else {
            return Ok(WebhookCounts::default());
        };
        counts(&row)
    }
}

impl SqliteRepository {
    /// Deletes the received webhooks of a plugin that is purged, in blocks, so that other writers
    /// run in between. Without a name, those of all plugins of the tenant.
    pub(super) async fn clear_webhooks(
        &self,
        tenant: TenantId,
        plugin: Option<&PluginName>,
    ) -> Result<(), DbError> {
        loop {
            let mut transaction = self.begin().await?;
            let rows = sqlx::query(OF_PLUGIN)
                .bind(tenant.to_string())
                .bind(plugin.map(PluginName::as_str))
                .bind(i64::from(BLOCK))
                .fetch_all(&mut *transaction)
                .await
                .map_err(unavailable)?;
            if rows.is_empty() {
                return Ok(());
            }
            delete(&mut transaction, &rows).await?;
            transaction.commit().await.map_err(unavailable)?;
        }
    }
}

/// Counts a message that is stored already. Returns the stored one.
async fn repeated(
    connection: &mut SqliteConnection,
    received: &NewReceived,
) -> Result<Option<ReceivedId>, DbError> {
    let known = sqlx::query(REPEAT)
        .bind(received.tenant.to_string())
        .bind(received.plugin.as_str())
        .bind(received.webhook.as_str())
        .bind(received.message.as_str())
        .bind(received.received_at.0)
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    known.map(|known| row::parsed(&known, "id")).transpose()
}

/// Inserts a webhook with its content. Returns its number.
async fn insert(
    connection: &mut SqliteConnection,
    received: &NewReceived,
    job: JobId,
) -> Result<i64, DbError> {
    let headers = row::to_json(&received.content.headers, "webhook_contents.headers")?;
    let bytes = row::to_integer(as_u64(headers.len().saturating_add(received.content.body.len())));
    let inserted = sqlx::query(INSERT)
        .bind(received.tenant.to_string())
        .bind(received.id.to_string())
        .bind(received.plugin.as_str())
        .bind(received.webhook.as_str())
        .bind(received.message.as_str())
        .bind(bytes)
        .bind(received.received_at.0)
        .bind(job.to_string())
        .fetch_one(&mut *connection)
        .await
        .map_err(or_missing(Resource::Tenant))?;
    let seq = row::integer(&inserted, "seq")?;
    sqlx::query("INSERT INTO webhook_contents (seq, headers, body) VALUES ($1, $2, $3)")
        .bind(seq)
        .bind(headers)
        .bind(received.content.body.as_str())
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
    sqlx::query(COUNT)
        .bind(received.tenant.to_string())
        .bind(1_i64)
        .bind(bytes)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(seq)
}

/// Deletes the oldest webhooks above the limits whose job has ended, but not `newest`. `false` if
/// the bytes are still above the limit.
async fn make_room(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    newest: i64,
    most: KeptWebhooks,
) -> Result<bool, DbError> {
    loop {
        let row = sqlx::query("SELECT received, bytes FROM webhook_counts WHERE tenant = $1")
            .bind(tenant.to_string())
            .fetch_one(&mut *connection)
            .await
            .map_err(unavailable)?;
        let WebhookCounts {
            mut received,
            mut bytes,
        } = counts(&row)?;
        if received <= most.count && bytes <= most.bytes {
            return Ok(true);
        }
        let rows = sqlx::query(ENDED)
            .bind(tenant.to_string())
            .bind(newest)
            .bind(i64::from(BLOCK))
            .fetch_all(&mut *connection)
            .await
            .map_err(unavailable)?;
        let mut enough = 0;
        for row in &rows {
            if received <= most.count && bytes <= most.bytes {
                break;
            }
            received = received.saturating_sub(1);
            bytes = bytes.saturating_sub(row::number(row, "bytes")?);
            enough += 1;
        }
        if enough == 0 {
            // Webhooks that wait for their jobs may be more than are kept; `job_backlog` bounds
            // them.
            return Ok(bytes <= most.bytes);
        }
        delete(connection, &rows[..enough]).await?;
    }
}

/// Deletes rows of one tenant or of several, and counts them no more.
async fn delete(connection: &mut SqliteConnection, rows: &[SqliteRow]) -> Result<(), DbError> {
    let mut numbers = Vec::with_capacity(rows.len());
    for deleted in rows {
        numbers.push(row::integer(deleted, "seq")?);
        sqlx::query(COUNT)
            .bind(row::text(deleted, "tenant")?)
            .bind(-1_i64)
            .bind(-row::integer(deleted, "bytes")?)
            .execute(&mut *connection)
            .await
            .map_err(unavailable)?;
    }
    sqlx::query("DELETE FROM webhooks_received WHERE seq IN (SELECT value FROM json_each($1))")
        .bind(row::to_json(&numbers, "webhooks_received.seq")?)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<Received, DbError> {
    Ok(Received {
        id: row::parsed(row, "id")?,
        plugin: row::parsed(row, "plugin")?,
        webhook: row::parsed(row, "webhook")?,
        message: row::text(row, "message")?,
        bytes: row::number(row, "bytes")?,
        repeats: row::number(row, "repeats")?,
        received_at: row::timestamp(row, "received_at")?,
        last_at: row::timestamp(row, "last_at")?,
        job: row::parsed(row, "job")?,
    })
}

fn counts(row: &SqliteRow) -> Result<WebhookCounts, DbError> {
    Ok(WebhookCounts {
        received: row::number(row, "received")?,
        bytes: row::number(row, "bytes")?,
    })
}

const INSERT: &str = "INSERT INTO webhooks_received \
    (tenant, id, plugin, webhook, message, bytes, received_at, last_at, job) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8) RETURNING seq";

const REPEAT: &str = "UPDATE webhooks_received SET repeats = repeats + 1, last_at = $5 \
    WHERE tenant = $1 AND plugin = $2 AND webhook = $3 AND message = $4 RETURNING id";

const COUNT: &str = "INSERT INTO webhook_counts (tenant, received, bytes) VALUES ($1, $2, $3) \
    ON CONFLICT (tenant) DO UPDATE SET received = webhook_counts.received + excluded.received, \
    bytes = webhook_counts.bytes + excluded.bytes";

const CONTENT: &str = "SELECT c.headers, c.body FROM webhooks_received AS r \
    JOIN webhook_contents AS c ON c.seq = r.seq WHERE r.tenant = $1 AND r.id = $2";

const LAST_JOB: &str = "SELECT seq, job, EXISTS (SELECT 1 FROM jobs \
         WHERE jobs.tenant = webhooks_received.tenant AND jobs.id = webhooks_received.job) AS is_live \
    FROM webhooks_received WHERE tenant = $1 AND id = $2";

const ENDED: &str = "SELECT seq, tenant, bytes FROM webhooks_received WHERE tenant = $1 AND seq <> $2 \
    AND NOT EXISTS (SELECT 1 FROM jobs \
        WHERE jobs.tenant = webhooks_received.tenant AND jobs.id = webhooks_received.job) \
    ORDER BY id LIMIT $3";

const OLD: &str = "SELECT seq, tenant, bytes FROM webhooks_received WHERE received_at < $1 \
    AND NOT EXISTS (SELECT 1 FROM jobs \
        WHERE jobs.tenant = webhooks_received.tenant AND jobs.id = webhooks_received.job) \
    ORDER BY received_at LIMIT $2";

const OF_PLUGIN: &str = "SELECT seq, tenant, bytes FROM webhooks_received \
    WHERE tenant = $1 AND ($2 IS NULL OR plugin = $2) LIMIT $3";
