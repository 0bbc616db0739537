//! Endpoints and their secrets.

use std::num::NonZeroU32;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::{SqliteRepository, or_missing, row, unavailable};
use super::{add, delete};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::id::{EndpointId, TenantId};
use crate::domain::resource::Resource;
use crate::domain::units::as_u64;
use crate::domain::webhook_out::{Endpoint, EndpointTopics, FanOut, MOST_SECRETS};
use crate::storage::host_key::{Reseal, Resealed};
use crate::storage::vault::Sealed;
use crate::storage::{Added, DbError, EndpointSecret, Page, secret_name};

pub(super) async fn add(
    repository: &SqliteRepository,
    tenant: TenantId,
    endpoint: &Endpoint,
    secret: &Sealed,
    change: &Change,
) -> Result<(), DbError> {
    let mut transaction = repository.begin().await?;
    sqlx::query(INSERT)
        .bind(tenant.to_string())
        .bind(endpoint.id.to_string())
        .bind(endpoint.url.as_str())
        .bind(endpoint.description.as_str())
        .bind(row::to_json(&endpoint.topics, "webhook_endpoints.topics")?)
        .bind(i64::from(endpoint.enabled))
        .bind(endpoint.rate_per_minute.map(|rate| i64::from(rate.get())))
        .bind(endpoint.created_at.0)
        .bind(endpoint.disabled_at.map(|at| at.0))
        .bind(endpoint.disabled_because.as_deref())
        .execute(&mut *transaction)
        .await
        .map_err(or_missing(Resource::Tenant))?;
    add_secret(&mut transaction, tenant, endpoint.id, secret, change.at).await?;
    repository.commit_change(transaction, tenant, change).await
}

pub(super) async fn list(
    repository: &SqliteRepository,
    tenant: TenantId,
    page: Page<EndpointId>,
) -> Result<Vec<Endpoint>, DbError> {
    let after = page.after.map_or(String::new(), |id| id.to_string());
    let rows = sqlx::query(LIST)
        .bind(tenant.to_string())
        .bind(after)
        .bind(i64::from(page.limit))
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    rows.iter().map(read).collect()
}

pub(super) async fn one(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: EndpointId,
) -> Result<Option<Endpoint>, DbError> {
    let row = sqlx::query("SELECT * FROM webhook_endpoints WHERE tenant = $1 AND id = $2")
        .bind(tenant.to_string())
        .bind(id.to_string())
        .fetch_optional(&repository.readers)
        .await
        .map_err(unavailable)?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn change(
    repository: &SqliteRepository,
    tenant: TenantId,
    endpoint: &Endpoint,
    change: &Change,
) -> Result<bool, DbError> {
    let update = sqlx::query(CHANGE)
        .bind(tenant.to_string())
        .bind(endpoint.id.to_string())
        .bind(endpoint.url.as_str())
        .bind(endpoint.description.as_str())
        .bind(row::to_json(&endpoint.topics, "webhook_endpoints.topics")?)
        .bind(i64::from(endpoint.enabled))
        .bind(endpoint.rate_per_minute.map(|rate| i64::from(rate.get())))
        .bind(change.at.0);
    repository.change_rows(tenant, change, update, unavailable).await
}

pub(super) async fn delete(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: EndpointId,
    change: &Change,
) -> Result<bool, DbError> {
    let mut transaction = repository.begin().await?;
    let deleted = sqlx::query("DELETE FROM webhook_endpoints WHERE tenant = $1 AND id = $2")
        .bind(tenant.to_string())
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if deleted.rows_affected() == 0 {
        return Ok(false);
    }
    delete::events_without_deliveries(&mut transaction, tenant).await?;
    repository.commit_change(transaction, tenant, change).await?;
    Ok(true)
}

pub(super) async fn secrets(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: EndpointId,
    now: Timestamp,
) -> Result<Vec<EndpointSecret>, DbError> {
    let rows = sqlx::query(VALID_SECRETS)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(now.0)
        .bind(row::to_integer(as_u64(MOST_SECRETS)))
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    let read = |row: &SqliteRow| {
        Ok(EndpointSecret {
            sealed: Sealed::from_bytes(row::bytes(row, "sealed")?),
            created_at: row::timestamp(row, "created_at")?,
            expires_at: row::optional_timestamp(row, "expires_at")?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn rotate(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: EndpointId,
    secret: &Sealed,
    former_until: Timestamp,
    change: &Change,
) -> Result<bool, DbError> {
    let mut transaction = repository.begin().await?;
    let retired = sqlx::query(RETIRE)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(former_until.0)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    // An endpoint always has a current secret.
    if retired.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(FORGET_EXPIRED)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(change.at.0)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    add_secret(&mut transaction, tenant, id, secret, change.at).await?;
    // Deliveries read the secrets themselves, so no snapshot changes.
    repository
        .commit_without_generation(transaction, Some(tenant), change)
        .await?;
    Ok(true)
}

pub(super) async fn disable(
    repository: &SqliteRepository,
    tenant: TenantId,
    id: EndpointId,
    because: &str,
    told: &FanOut,
    change: &Change,
) -> Result<Option<Vec<Added>>, DbError> {
    let mut transaction = repository.begin().await?;
    let disabled = sqlx::query(DISABLE)
        .bind(tenant.to_string())
        .bind(id.to_string())
        .bind(change.at.0)
        .bind(because)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    if disabled.rows_affected() == 0 {
        return Ok(None);
    }
    let added = add::insert_all(&mut transaction, tenant, told).await?;
    repository.commit_change(transaction, tenant, change).await?;
    Ok(Some(added))
}

pub(super) async fn tenants(repository: &SqliteRepository) -> Result<Vec<TenantId>, DbError> {
    let rows = sqlx::query("SELECT DISTINCT tenant FROM webhook_endpoints")
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    rows.iter().map(|row| row::parsed(row, "tenant")).collect()
}

/// Encrypts the secrets of all endpoints again, within the transaction that does so for the
/// tenants' secrets.
pub(in super::super) async fn reseal(
    connection: &mut SqliteConnection,
    reseal: &Reseal<'_>,
    resealed: &mut Resealed,
) -> Result<(), DbError> {
    let rows = sqlx::query("SELECT tenant, endpoint, number, sealed FROM webhook_endpoint_secrets")
        .fetch_all(&mut *connection)
        .await
        .map_err(unavailable)?;
    for row in &rows {
        let tenant: TenantId = row::parsed(row, "tenant")?;
        let endpoint: EndpointId = row::parsed(row, "endpoint")?;
        let name = secret_name(endpoint);
        let sealed = Sealed::from_bytes(row::bytes(row, "sealed")?);
        let Some(sealed) = reseal(tenant, &name, &sealed).map_err(DbError::Unavailable)? else {
            resealed.left.push((tenant, name));
            continue;
        };
        sqlx::query(
            "UPDATE webhook_endpoint_secrets SET sealed = $4 WHERE tenant = $1 AND endpoint = $2 AND number = $3",
        )
        .bind(tenant.to_string())
        .bind(endpoint.to_string())
        .bind(row::integer(row, "number")?)
        .bind(sealed.as_bytes())
        .execute(&mut *connection)
        .await
        .map_err(unavailable)?;
        resealed.secrets += 1;
    }
    Ok(())
}

async fn add_secret(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    endpoint: EndpointId,
    secret: &Sealed,
    at: Timestamp,
) -> Result<(), DbError> {
    sqlx::query(ADD_SECRET)
        .bind(tenant.to_string())
        .bind(endpoint.to_string())
        .bind(secret.as_bytes())
        .bind(at.0)
        .execute(connection)
        .await
        .map_err(or_missing(Resource::Endpoint))?;
    Ok(())
}

/// Reads a row of [`ENABLED`].
pub(in super::super) fn topics_of(row: &SqliteRow) -> Result<EndpointTopics, DbError> {
    Ok(EndpointTopics {
        id: row::parsed(row, "id")?,
        topics: row::json(row, "topics")?,
    })
}

fn read(row: &SqliteRow) -> Result<Endpoint, DbError> {
    let rate: Option<NonZeroU32> = match row::optional_integer(row, "rate_per_minute")? {
        None => None,
        Some(rate) => {
            let rate = u32::try_from(rate).ok().and_then(NonZeroU32::new);
            Some(rate.ok_or_else(|| DbError::corrupt("rate_per_minute", "it is no rate"))?)
        }
    };
    Ok(Endpoint {
        id: row::parsed(row, "id")?,
        url: row::text(row, "url")?,
        description: row::text(row, "description")?,
        topics: row::json(row, "topics")?,
        enabled: row::flag(row, "enabled")?,
        rate_per_minute: rate,
        created_at: row::timestamp(row, "created_at")?,
        failing_since: row::optional_timestamp(row, "failing_since")?,
        disabled_at: row::optional_timestamp(row, "disabled_at")?,
        disabled_because: row::optional_text(row, "disabled_because")?,
    })
}

/// The enabled endpoints of tenants; the parameter is a JSON array of ids.
pub(in super::super) const ENABLED: &str = "SELECT tenant, id, topics FROM webhook_endpoints \
    WHERE tenant IN (SELECT value FROM json_each($1)) AND enabled = 1 ORDER BY id";

const INSERT: &str = "INSERT INTO webhook_endpoints \
    (tenant, id, url, description, topics, enabled, rate_per_minute, created_at, disabled_at, disabled_because) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

const LIST: &str = "SELECT * FROM webhook_endpoints WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3";

/// In SQL, the right sides are the former values.
const CHANGE: &str = "UPDATE webhook_endpoints SET url = $3, description = $4, topics = $5, \
    rate_per_minute = $7, enabled = $6, \
    failing_since = CASE WHEN $6 = 1 AND enabled = 0 THEN NULL ELSE failing_since END, \
    disabled_at = CASE WHEN $6 = 1 THEN NULL ELSE COALESCE(disabled_at, $8) END, \
    disabled_because = CASE WHEN $6 = 1 THEN NULL ELSE COALESCE(disabled_because, 'somebody disabled it') END \
    WHERE tenant = $1 AND id = $2";

const DISABLE: &str = "UPDATE webhook_endpoints SET enabled = 0, disabled_at = $3, disabled_because = $4 \
    WHERE tenant = $1 AND id = $2 AND enabled = 1";

const VALID_SECRETS: &str = "SELECT sealed, created_at, expires_at FROM webhook_endpoint_secrets \
    WHERE tenant = $1 AND endpoint = $2 AND (expires_at IS NULL OR expires_at > $3) \
    ORDER BY number DESC LIMIT $4";

const RETIRE: &str = "UPDATE webhook_endpoint_secrets SET expires_at = $3 \
    WHERE tenant = $1 AND endpoint = $2 AND expires_at IS NULL";

const FORGET_EXPIRED: &str = "DELETE FROM webhook_endpoint_secrets \
    WHERE tenant = $1 AND endpoint = $2 AND expires_at <= $3";

const ADD_SECRET: &str = "INSERT INTO webhook_endpoint_secrets (tenant, endpoint, number, sealed, created_at) \
    SELECT $1, $2, COALESCE(MAX(number), 0) + 1, $3, $4 FROM webhook_endpoint_secrets \
    WHERE tenant = $1 AND endpoint = $2";
