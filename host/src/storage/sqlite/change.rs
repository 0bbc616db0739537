//! Changes in SQLite: the change, its audit entry and, if the gateway reads what changed, the
//! tenant's next generation are one transaction.

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::{SqliteRepository, audit, row, unavailable};
use crate::domain::audit::Change;
use crate::domain::generation::{Generation, Generations};
use crate::domain::id::{PlanName, TenantId};
use crate::domain::resource::Resource;
use crate::storage::DbError;

const RAISE: &str = "UPDATE tenants SET generation = generation + 1 WHERE id = $1 \
    RETURNING id, generation, key_generation";

const RAISE_KEYS: &str = "UPDATE tenants SET key_generation = key_generation + 1 WHERE id = $1 \
    RETURNING id, generation, key_generation";

const RAISE_ON_PLAN: &str = "UPDATE tenants SET generation = generation + 1 WHERE plan = $1 \
    RETURNING id, generation, key_generation";

const RAISE_WITH_SECRETS: &str = "UPDATE tenants SET generation = generation + 1 \
    WHERE id IN (SELECT tenant FROM secrets) RETURNING id, generation, key_generation";

impl SqliteRepository {
    /// Changes a tenant with a single statement. `false`, and nothing is written, if it changes no
    /// row.
    pub(super) async fn change_rows(
        &self,
        tenant: TenantId,
        change: &Change,
        statement: Query<'_, Sqlite, SqliteArguments>,
        failed: impl Fn(sqlx::Error) -> DbError,
    ) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        let changed = statement.execute(&mut *transaction).await.map_err(failed)?;
        if changed.rows_affected() == 0 {
            return Ok(false);
        }
        self.commit_change(transaction, tenant, change).await?;
        Ok(true)
    }

    /// Commits a change that affects serving a tenant's requests.
    pub(super) async fn commit_change(
        &self,
        mut transaction: Transaction<'_, Sqlite>,
        tenant: TenantId,
        change: &Change,
    ) -> Result<(), DbError> {
        audit::insert(&mut transaction, Some(tenant), change).await?;
        let raised = sqlx::query(RAISE)
            .bind(tenant.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
        let raised = raised.as_ref().map(read).transpose()?;
        transaction.commit().await.map_err(unavailable)?;
        self.notifier.notify(raised);
        Ok(())
    }

    /// Commits a change to a tenant's API keys. Returns their new generation.
    pub(super) async fn commit_key_change(
        &self,
        mut transaction: Transaction<'_, Sqlite>,
        tenant: TenantId,
        change: &Change,
    ) -> Result<Generation, DbError> {
        audit::insert(&mut transaction, Some(tenant), change).await?;
        let raised = sqlx::query(RAISE_KEYS)
            .bind(tenant.to_string())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
        let raised = read(raised.as_ref().ok_or(DbError::Missing(Resource::Tenant))?)?;
        transaction.commit().await.map_err(unavailable)?;
        self.notifier.notify([raised]);
        Ok(raised.1.keys)
    }

    /// Commits a change of data that the gateway does not read, so that no node need read the
    /// tenant again.
    pub(super) async fn commit_without_generation(
        &self,
        mut transaction: Transaction<'_, Sqlite>,
        tenant: Option<TenantId>,
        change: &Change,
    ) -> Result<(), DbError> {
        audit::insert(&mut transaction, tenant, change).await?;
        transaction.commit().await.map_err(unavailable)
    }
}

/// Raises the generations of all tenants on a plan.
pub(super) async fn raise_on_plan(
    connection: &mut SqliteConnection,
    plan: &PlanName,
) -> Result<Vec<(TenantId, Generations)>, DbError> {
    let raised = sqlx::query(RAISE_ON_PLAN).bind(plan.as_str());
    let raised = raised.fetch_all(connection).await.map_err(unavailable)?;
    Ok(readable(&raised))
}

/// Raises the generations of all tenants that have secrets.
pub(super) async fn raise_with_secrets(
    connection: &mut SqliteConnection,
) -> Result<Vec<(TenantId, Generations)>, DbError> {
    let raised = sqlx::query(RAISE_WITH_SECRETS).fetch_all(connection).await;
    Ok(readable(&raised.map_err(unavailable)?))
}

/// The readable rows. A tenant whose row cannot be read answers 503 anyway.
fn readable(rows: &[SqliteRow]) -> Vec<(TenantId, Generations)> {
    rows.iter().filter_map(|row| read(row).ok()).collect()
}

fn read(row: &SqliteRow) -> Result<(TenantId, Generations), DbError> {
    Ok((row::parsed(row, "id")?, generations(row)?))
}

pub(super) fn generations(row: &SqliteRow) -> Result<Generations, DbError> {
    Ok(Generations {
        content: Generation(row::integer(row, "generation")?),
        keys: Generation(row::integer(row, "key_generation")?),
    })
}
