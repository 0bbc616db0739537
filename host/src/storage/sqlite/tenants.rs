//! Tenants in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteRepository, audit, jobs, or_missing, removals, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::generation::{Generation, Generations};
use crate::domain::id::{TenantId, TenantName};
use crate::domain::resource::Resource;
use crate::domain::tenant::Tenant;
use crate::domain::units::as_u64;
use crate::storage::tenants::ChangesOfTenant;
use crate::storage::{DbError, JobFilter, Page, Removal, TenantChange, Tenants};

#[async_trait]
impl Tenants for SqliteRepository {
    async fn create_tenant(&self, tenant: &Tenant, change: &Change) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        let inserted = sqlx::query(
            "INSERT INTO tenants (id, name, plan, limits, suspended, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(tenant.id.to_string())
        .bind(tenant.name.as_str())
        .bind(tenant.plan.as_str())
        .bind(row::to_json(&tenant.limits, "tenants.limits")?)
        .bind(i64::from(tenant.suspended))
        .bind(tenant.created_at.0)
        .execute(&mut *transaction)
        .await;
        match inserted.map_err(or_missing(Resource::Plan)) {
            Ok(_) => {
                audit::insert(&mut transaction, Some(tenant.id), change).await?;
                self.commit_generation(transaction).await?;
                self.notifier.notify([(tenant.id, FIRST)]);
                Ok(())
            }
            Err(DbError::Taken(_)) => {
                let deleted = sqlx::query("SELECT 1 FROM tenants WHERE name = $1 AND deleted_at IS NOT NULL")
                    .bind(tenant.name.as_str())
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                Err(match deleted {
                    Some(_) => DbError::Reserved(Resource::Tenant),
                    None => DbError::Taken(Resource::Tenant),
                })
            }
            Err(error) => Err(error),
        }
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, DbError> {
        let row = sqlx::query("SELECT * FROM tenants WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn tenant_by_name(&self, name: &TenantName) -> Result<Option<Tenant>, DbError> {
        let row = sqlx::query("SELECT * FROM tenants WHERE name = $1 AND deleted_at IS NULL")
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn tenants(&self, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError> {
        let tenants = "SELECT * FROM tenants WHERE name > $1 AND deleted_at IS NULL ORDER BY name LIMIT $2";
        self.list(tenants, page).await
    }

    async fn change_tenant(
        &self,
        id: TenantId,
        change: &TenantChange,
        changes: &ChangesOfTenant<'_>,
    ) -> Result<Option<Tenant>, DbError> {
        let limits = change
            .limits
            .as_ref()
            .map(|limits| row::to_json(limits, "tenants.limits"));
        let mut transaction = self.begin().await?;
        let before = sqlx::query("SELECT * FROM tenants WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
        let Some(before) = before.as_ref().map(read).transpose()? else {
            return Ok(None);
        };
        let row = sqlx::query(
            "UPDATE tenants SET plan = COALESCE($2, plan), limits = COALESCE($3, limits), \
             suspended = COALESCE($4, suspended) WHERE id = $1 AND deleted_at IS NULL RETURNING *",
        )
        .bind(id.to_string())
        .bind(change.plan.as_ref().map(|plan| plan.as_str()))
        .bind(limits.transpose()?)
        .bind(change.suspended.map(i64::from))
        .fetch_one(&mut *transaction)
        .await
        .map_err(or_missing(Resource::Plan))?;
        let after = read(&row)?;
        let mut changes = changes(&before, &after);
        let Some(last) = changes.pop() else {
            // Nothing changes, so nothing is committed.
            return Ok(Some(after));
        };
        for change in &changes {
            audit::insert(&mut transaction, Some(id), change).await?;
        }
        self.commit_change(transaction, id, &last).await?;
        Ok(Some(after))
    }

    async fn delete_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError> {
        let delete = sqlx::query("UPDATE tenants SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL")
            .bind(id.to_string())
            .bind(change.at.0);
        self.change_rows(id, change, delete, unavailable).await
    }

    async fn tenant_even_deleted(&self, name: &TenantName) -> Result<Option<Tenant>, DbError> {
        let row = sqlx::query("SELECT * FROM tenants WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn deleted_tenants(&self, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError> {
        let deleted =
            "SELECT * FROM tenants WHERE name > $1 AND deleted_at IS NOT NULL ORDER BY name LIMIT $2";
        self.list(deleted, page).await
    }

    async fn restore_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError> {
        let restore = sqlx::query("UPDATE tenants SET deleted_at = NULL WHERE id = $1").bind(id.to_string());
        self.change_rows(id, change, restore, unavailable).await
    }

    async fn note_databases(&self, tenants: &[TenantId]) -> Result<(), DbError> {
        let ids = row::to_json(&tenants.iter().map(TenantId::to_string).collect::<Vec<_>>(), "id")?;
        sqlx::query(
            "UPDATE tenants SET has_database = 1 WHERE has_database = 0 AND id IN (SELECT value FROM json_each($1))",
        )
        .bind(ids)
        .execute(&self.writer)
        .await
        .map_err(unavailable)?;
        Ok(())
    }

    async fn tenants_with_databases(&self) -> Result<Vec<TenantId>, DbError> {
        let rows = sqlx::query("SELECT id FROM tenants WHERE has_database <> 0")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        Ok(rows
            .iter()
            .filter_map(|row| row::parsed(row, "id").ok())
            .collect())
    }

    async fn purge_tenant(&self, id: TenantId, change: &Change) -> Result<bool, DbError> {
        let of_tenant = JobFilter::default();
        self.clear_jobs(id, &of_tenant).await?;
        self.clear_mails(id).await?;
        let mut transaction = self.begin().await?;
        jobs::delete_rest(&mut transaction, id, &of_tenant).await?;
        // The entry is added before the row is deleted, since it copies the tenant's name from the
        // row.
        audit::insert(&mut transaction, Some(id), change).await?;
        removals::of_versions(&mut transaction, id, None).await?;
        let purged = sqlx::query("DELETE FROM tenants WHERE id = $1")
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
        if purged.rows_affected() == 0 {
            return Ok(false);
        }
        removals::add(&mut transaction, Removal::Database(id)).await?;
        self.commit_generation(transaction).await?;
        self.notifier.notify_purged(id);
        Ok(true)
    }
}

/// The generations of a new tenant.
const FIRST: Generations = Generations {
    content: Generation(1),
    keys: Generation(1),
};

impl SqliteRepository {
    /// A page of tenants. An unreadable row is logged and skipped, so that it does not hide the
    /// others.
    async fn list(&self, sql: &'static str, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError> {
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut after = page.after.map_or(String::new(), |after| after.to_string());
        let mut found = Vec::new();
        loop {
            let wanted = limit - found.len();
            let rows = sqlx::query(sql)
                .bind(after.as_str())
                .bind(row::to_integer(as_u64(wanted)))
                .fetch_all(&self.readers)
                .await
                .map_err(unavailable)?;
            let unreadable = |error: &DbError| tracing::error!(%error, "a tenant's row cannot be read");
            found.extend(
                rows.iter()
                    .filter_map(|row| read(row).inspect_err(unreadable).ok()),
            );
            match rows.last() {
                Some(last) if rows.len() == wanted && found.len() < limit => after = row::text(last, "name")?,
                _ => return Ok(found),
            }
        }
    }
}

/// Those of these tenants that have a row, deleted or not.
pub(super) async fn existing(
    connection: &mut SqliteConnection,
    tenants: BTreeSet<TenantId>,
) -> Result<BTreeSet<TenantId>, DbError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM tenants WHERE id IN (");
    let mut list = query.separated(", ");
    for tenant in tenants {
        list.push_bind(tenant.to_string());
    }
    query.push(")");
    let rows = query.build().persistent(false).fetch_all(connection).await;
    let rows = rows.map_err(unavailable)?;
    rows.iter().map(|row| row::parsed(row, "id")).collect()
}

pub(super) fn read(row: &SqliteRow) -> Result<Tenant, DbError> {
    Ok(Tenant {
        id: row::parsed(row, "id")?,
        name: row::parsed(row, "name")?,
        plan: row::parsed(row, "plan")?,
        limits: row::lenient(row, "limits")?,
        suspended: row::flag(row, "suspended")?,
        created_at: row::timestamp(row, "created_at")?,
        deleted_at: row::deleted_at(row)?,
    })
}
