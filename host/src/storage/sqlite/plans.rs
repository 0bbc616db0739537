//! Plans in SQLite.

use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;

use super::{SqliteRepository, or_in_use, row, unavailable};
use crate::domain::id::PlanName;
use crate::domain::tenant::Plan;
use crate::storage::{DbError, Plans};

#[async_trait]
impl Plans for SqliteRepository {
    async fn put_plan(&self, plan: &Plan) -> Result<(), DbError> {
        sqlx::query(
            "INSERT INTO plans (name, limits) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET limits = excluded.limits",
        )
        .bind(plan.name.as_str())
        .bind(row::to_json(&plan.limits, "plans.limits")?)
        .execute(&self.writer)
        .await
        .map_err(unavailable)?;
        Ok(())
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

    async fn delete_plan(&self, name: &PlanName) -> Result<bool, DbError> {
        let deleted = sqlx::query("DELETE FROM plans WHERE name = $1")
            .bind(name.as_str())
            .execute(&self.writer)
            .await
            .map_err(or_in_use("plan"))?;
        Ok(deleted.rows_affected() > 0)
    }
}

pub(super) fn read(row: &SqliteRow) -> Result<Plan, DbError> {
    Ok(Plan {
        name: row::parsed(row, "name")?,
        limits: row::lenient(row, "limits")?,
    })
}
