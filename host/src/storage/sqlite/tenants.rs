//! Tenants in SQLite.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{SqliteRepository, or_missing, row, unavailable};
use crate::domain::id::{TenantId, TenantName};
use crate::domain::tenant::Tenant;
use crate::storage::{DbError, Page, TenantChange, Tenants};

#[async_trait]
impl Tenants for SqliteRepository {
    async fn create_tenant(&self, tenant: &Tenant) -> Result<(), DbError> {
        sqlx::query(
            "INSERT INTO tenants (id, name, plan, limits, suspended, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(tenant.id.to_string())
        .bind(tenant.name.as_str())
        .bind(tenant.plan.as_str())
        .bind(row::to_json(&tenant.limits, "tenants.limits")?)
        .bind(i64::from(tenant.suspended))
        .bind(tenant.created_at.0)
        .execute(&self.writer)
        .await
        .map_err(|error| match or_missing("plan")(error) {
            DbError::Taken(_) => DbError::Taken("tenant name"),
            error => error,
        })?;
        Ok(())
    }

    async fn tenant(&self, id: TenantId) -> Result<Option<Tenant>, DbError> {
        let row = sqlx::query("SELECT * FROM tenants WHERE id = $1")
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn tenant_by_name(&self, name: &TenantName) -> Result<Option<Tenant>, DbError> {
        let row = sqlx::query("SELECT * FROM tenants WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn tenants(&self, page: Page<TenantName>) -> Result<Vec<Tenant>, DbError> {
        let after = page.after.as_ref().map_or("", TenantName::as_str);
        let rows = sqlx::query("SELECT * FROM tenants WHERE name > $1 ORDER BY name LIMIT $2")
            .bind(after)
            .bind(i64::from(page.limit))
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn change_tenant(&self, id: TenantId, change: &TenantChange) -> Result<Option<Tenant>, DbError> {
        let limits = change
            .limits
            .as_ref()
            .map(|limits| row::to_json(limits, "tenants.limits"));
        let row = sqlx::query(
            "UPDATE tenants SET plan = COALESCE($2, plan), limits = COALESCE($3, limits), \
             suspended = COALESCE($4, suspended) WHERE id = $1 RETURNING *",
        )
        .bind(id.to_string())
        .bind(change.plan.as_ref().map(|plan| plan.as_str()))
        .bind(limits.transpose()?)
        .bind(change.suspended.map(i64::from))
        .fetch_optional(&self.writer)
        .await
        .map_err(or_missing("plan"))?;
        row.as_ref().map(read).transpose()
    }

    async fn delete_tenant(&self, id: TenantId) -> Result<bool, DbError> {
        let deleted = sqlx::query("DELETE FROM tenants WHERE id = $1")
            .bind(id.to_string())
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(deleted.rows_affected() > 0)
    }
}

/// Those of these tenants that are still there.
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
        limits: row::json(row, "limits")?,
        suspended: row::flag(row, "suspended")?,
        created_at: row::timestamp(row, "created_at")?,
    })
}
