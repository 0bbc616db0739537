//! The audit log in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{SqliteRepository, row, unavailable};
use crate::domain::audit::AuditEntry;
use crate::domain::id::{AuditId, TenantId};
use crate::storage::{Audit, DbError, Page};

#[async_trait]
impl Audit for SqliteRepository {
    async fn append_audit(&self, entry: &AuditEntry) -> Result<(), DbError> {
        let mut connection = self.writer.acquire().await.map_err(unavailable)?;
        insert(&mut connection, entry).await
    }

    async fn audit(&self, tenant: Option<TenantId>, page: Page<AuditId>) -> Result<Vec<AuditEntry>, DbError> {
        let before = page.after.unwrap_or(AuditId(Uuid::max())).to_string();
        let query = match tenant {
            Some(tenant) => {
                sqlx::query("SELECT * FROM audit WHERE id < $1 AND tenant = $3 ORDER BY id DESC LIMIT $2")
                    .bind(before)
                    .bind(i64::from(page.limit))
                    .bind(tenant.to_string())
            }
            None => {
                sqlx::query("SELECT * FROM audit WHERE id < $1 AND tenant IS NULL ORDER BY id DESC LIMIT $2")
                    .bind(before)
                    .bind(i64::from(page.limit))
            }
        };
        let rows = query.fetch_all(&self.readers).await.map_err(unavailable)?;
        rows.iter().map(read).collect()
    }
}

/// Adds an entry within whatever transaction the connection is in.
pub(super) async fn insert(connection: &mut SqliteConnection, entry: &AuditEntry) -> Result<(), DbError> {
    sqlx::query("INSERT INTO audit (id, tenant, actor, action, subject, at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(entry.id.to_string())
        .bind(entry.tenant.map(|tenant| tenant.to_string()))
        .bind(entry.actor.as_str())
        .bind(entry.action.as_str())
        .bind(entry.subject.as_str())
        .bind(entry.at.0)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

fn read(row: &SqliteRow) -> Result<AuditEntry, DbError> {
    Ok(AuditEntry {
        id: row::parsed(row, "id")?,
        tenant: row::optional_parsed(row, "tenant")?,
        actor: row::text(row, "actor")?,
        action: row::text(row, "action")?,
        subject: row::text(row, "subject")?,
        at: row::timestamp(row, "at")?,
    })
}
