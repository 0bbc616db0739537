//! Leases on components in SQLite.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteRepository, plugins, removals, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::id::{LeaseId, VersionDigest};
use crate::storage::{Claim, DbError, Lease, Leases, Removal};

/// Purpose of a lease, in the column `removes`.
const UPLOAD: i64 = 0;
const REMOVAL: i64 = 1;

#[async_trait]
impl Leases for SqliteRepository {
    async fn lease_component(&self, lease: &Lease, now: Timestamp) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        forget_expired(&mut transaction, lease.digest, now).await?;
        if is_being_removed(&mut transaction, lease.digest).await? {
            return Ok(false);
        }
        put(&mut transaction, lease, UPLOAD).await?;
        removals::add(&mut transaction, Removal::Component(lease.digest)).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(true)
    }

    async fn release_component(&self, digest: VersionDigest, holder: LeaseId) -> Result<(), DbError> {
        sqlx::query("DELETE FROM component_leases WHERE digest = $1 AND holder = $2")
            .bind(digest.to_string())
            .bind(holder.to_string())
            .execute(&self.writer)
            .await
            .map_err(unavailable)?;
        Ok(())
    }

    async fn claim_component(&self, claim: &Lease, now: Timestamp) -> Result<Claim, DbError> {
        let removal = Removal::Component(claim.digest);
        let mut transaction = self.begin().await?;
        if plugins::is_digest_used(&mut transaction, claim.digest).await? {
            removals::delete(&mut transaction, removal).await?;
            transaction.commit().await.map_err(unavailable)?;
            return Ok(Claim::Used);
        }
        if !removals::is_named(&mut transaction, removal).await? {
            return Ok(Claim::NotNamed);
        }
        forget_expired(&mut transaction, claim.digest, now).await?;
        if is_leased_by_another(&mut transaction, claim).await? {
            return Ok(Claim::Leased);
        }
        put(&mut transaction, claim, REMOVAL).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(Claim::Granted)
    }

    async fn component_removed(&self, digest: VersionDigest, holder: LeaseId) -> Result<bool, DbError> {
        let mut transaction = self.begin().await?;
        let ended =
            sqlx::query("DELETE FROM component_leases WHERE digest = $1 AND holder = $2 AND removes = $3")
                .bind(digest.to_string())
                .bind(holder.to_string())
                .bind(REMOVAL)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        removals::delete(&mut transaction, Removal::Component(digest)).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(true)
    }
}

/// Refuses a row for a component that is being removed, because the upload's lease has expired.
pub(super) async fn refuse_if_being_removed(
    connection: &mut SqliteConnection,
    digest: VersionDigest,
) -> Result<(), DbError> {
    match is_being_removed(connection, digest).await? {
        true => Err(DbError::Unavailable(
            "the component is being removed at this moment; upload it again".into(),
        )),
        false => Ok(()),
    }
}

async fn is_leased_by_another(connection: &mut SqliteConnection, claim: &Lease) -> Result<bool, DbError> {
    let row = sqlx::query("SELECT 1 FROM component_leases WHERE digest = $1 AND holder <> $2 LIMIT 1")
        .bind(claim.digest.to_string())
        .bind(claim.holder.to_string())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    Ok(row.is_some())
}

async fn is_being_removed(connection: &mut SqliteConnection, digest: VersionDigest) -> Result<bool, DbError> {
    let row = sqlx::query("SELECT 1 FROM component_leases WHERE digest = $1 AND removes = $2 LIMIT 1")
        .bind(digest.to_string())
        .bind(REMOVAL)
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    Ok(row.is_some())
}

async fn forget_expired(
    connection: &mut SqliteConnection,
    digest: VersionDigest,
    now: Timestamp,
) -> Result<(), DbError> {
    sqlx::query("DELETE FROM component_leases WHERE digest = $1 AND expires_at <= $2")
        .bind(digest.to_string())
        .bind(now.0)
        .execute(connection)
        .await
        .map_err(unavailable)?;
    Ok(())
}

async fn put(connection: &mut SqliteConnection, lease: &Lease, removes: i64) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO component_leases (digest, holder, removes, expires_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (digest, holder) DO UPDATE SET removes = excluded.removes, expires_at = excluded.expires_at",
    )
    .bind(lease.digest.to_string())
    .bind(lease.holder.to_string())
    .bind(removes)
    .bind(lease.expires_at.0)
    .execute(connection)
    .await
    .map_err(unavailable)?;
    Ok(())
}
