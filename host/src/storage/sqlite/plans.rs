//! Plans in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, audit, change, or_in_use, row, unavailable};
use crate::domain::id::{PlanName, TenantId};
use crate::domain::limits::LimitOverrides;
use crate::domain::resource::Resource;
use crate::domain::tenant::Plan;
use crate::storage::plans::ChangeOfPlan;
use crate::storage::{DbError, Plans};

#[async_trait]
impl Plans for SqliteRepository {
    async fn put_plan(&self, plan: &Plan, change: &ChangeOfPlan<'_>) -> Result<Vec<TenantId>, DbError> {
        let mut transaction = self.begin().await?;
        let former = in_transaction(&mut transaction, &plan.name).await?;
        sqlx::query(
            "INSERT INTO plans (name, limits) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET limits = excluded.limits",
        )
        .bind(plan.name.as_str())
        .bind(row::to_json(&plan.limits, "plans.limits")?)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
        audit::insert(&mut transaction, None, &change(former.as_ref())).await?;
        let raised = change::raise_on_plan(&mut transaction, &plan.name).await?;
        transaction.commit().await.map_err(unavailable)?;
        let mut tenants: Vec<TenantId> = raised.iter().map(|(tenant, _)| *tenant).collect();
        tenants.sort_unstable();
        self.notifier.notify(raised);
        Ok(tenants)
    }

    async fn plan(&self, name: &PlanName) -> Result<Option<Plan>, DbError> {
        let row = sqlx::query("SELECT * FROM plans WHERE name = $1")
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn plans(&self) -> Result<Vec<Plan>, DbError> {
        let rows = sqlx::query("SELECT * FROM plans ORDER BY name")
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
    }

    async fn delete_plan(&self, name: &PlanName, change: &ChangeOfPlan<'_>) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        let former = in_transaction(&mut transaction, name).await?;
        if former.is_none() {
            return Ok(false);
        }
        let deleted = sqlx::query("DELETE FROM plans WHERE name = $1")
            .bind(name.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(or_in_use(Resource::Plan))?;
        self.commit_without_generation(transaction, None, &change(former.as_ref()))
            .await?;
        Ok(deleted.rows_affected() > 0)
    }
}

/// A plan before it is changed. An unreadable one can still be replaced and deleted.
async fn in_transaction(connection: &mut SqliteConnection, name: &PlanName) -> Result<Option<Plan>, DbError> {
    let row = sqlx::query("SELECT * FROM plans WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    let unreadable = || Plan {
        name: name.clone(),
        limits: LimitOverrides::default(),
    };
    Ok(row.as_ref().map(|row| read(row).unwrap_or_else(|_| unreadable())))
}

pub(super) fn read(row: &SqliteRow) -> Result<Plan, DbError> {
    Ok(Plan {
        name: row::parsed(row, "name")?,
        limits: row::lenient(row, "limits")?,
    })
}
