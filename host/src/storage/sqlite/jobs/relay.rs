//! Adds the jobs of a tenant's outbox exactly once: the jobs and the mark are one transaction.

use std::collections::BTreeSet;

use sqlx::SqliteConnection;

use super::super::{SqliteRepository, or_missing, row, tenants, unavailable, webhooks_out};
use super::add;
use super::effects::Effects;
use crate::domain::id::TenantId;
use crate::domain::job::NewJob;
use crate::domain::outbox::OutboxMark;
use crate::domain::resource::Resource;
use crate::domain::webhook_out::OutgoingEvent;
use crate::storage::{Added, DbError};

/// Adds the jobs and the events for endpoints of entries, and moves the mark.
pub(in super::super) async fn relay(
    repository: &SqliteRepository,
    tenant: TenantId,
    up_to: &OutboxMark,
    jobs: &[(i64, NewJob)],
    events: &[(i64, OutgoingEvent)],
) -> Result<Vec<Added>, DbError> {
    let mut transaction = repository.begin().await?;
    if tenants::existing(&mut transaction, BTreeSet::from([tenant]))
        .await?
        .is_empty()
    {
        return Ok(Vec::new());
    }
    let stored = mark(&mut transaction, tenant).await?;
    let relayed = match &stored {
        Some(stored) if stored.epoch == up_to.epoch => stored.sequence,
        _ => 0,
    };
    let new: Vec<&NewJob> = jobs
        .iter()
        .filter(|(sequence, _)| *sequence > relayed)
        .map(|(_, job)| job)
        .collect();
    let moved = OutboxMark {
        epoch: up_to.epoch.clone(),
        sequence: up_to.sequence.max(relayed),
    };
    if new.is_empty() && stored.as_ref() == Some(&moved) {
        return Ok(Vec::new());
    }
    let mut effects = Effects::default();
    let added = add::insert(&mut transaction, &new, &mut effects).await?;
    effects.write(&mut transaction).await?;
    // Their deliveries refer to jobs, which are added now.
    for (_, event) in events.iter().filter(|(sequence, _)| *sequence > relayed) {
        webhooks_out::insert(&mut transaction, tenant, event).await?;
    }
    sqlx::query(MOVE)
        .bind(tenant.to_string())
        .bind(moved.epoch)
        .bind(moved.sequence)
        .execute(&mut *transaction)
        .await
        .map_err(unavailable)?;
    transaction.commit().await.map_err(unavailable)?;
    Ok(added)
}

/// The mark of a tenant.
pub(super) async fn mark(
    connection: &mut SqliteConnection,
    tenant: TenantId,
) -> Result<Option<OutboxMark>, DbError> {
    let row = sqlx::query("SELECT epoch, sequence FROM outbox_marks WHERE tenant = $1")
        .bind(tenant.to_string())
        .fetch_optional(connection)
        .await
        .map_err(unavailable)?;
    let read = |row| {
        Ok(OutboxMark {
            epoch: row::text(&row, "epoch")?,
            sequence: row::integer(&row, "sequence")?,
        })
    };
    row.map(read).transpose()
}

pub(super) async fn set_epoch(
    repository: &SqliteRepository,
    tenant: TenantId,
    epoch: &str,
) -> Result<(), DbError> {
    sqlx::query(SET_EPOCH)
        .bind(tenant.to_string())
        .bind(epoch)
        .execute(&repository.writer)
        .await
        .map_err(or_missing(Resource::Tenant))?;
    Ok(())
}

pub(super) async fn tenants_with_outbox(repository: &SqliteRepository) -> Result<Vec<TenantId>, DbError> {
    let rows = sqlx::query("SELECT tenant FROM outbox_marks")
        .fetch_all(&repository.readers)
        .await
        .map_err(unavailable)?;
    rows.iter().map(|row| row::parsed(row, "tenant")).collect()
}

const MOVE: &str = "INSERT INTO outbox_marks (tenant, epoch, sequence) VALUES ($1, $2, $3) \
    ON CONFLICT (tenant) DO UPDATE SET epoch = excluded.epoch, sequence = excluded.sequence";

/// An epoch that is recorded already keeps its sequence.
const SET_EPOCH: &str = "INSERT INTO outbox_marks (tenant, epoch, sequence) VALUES ($1, $2, 0) \
    ON CONFLICT (tenant) DO UPDATE SET epoch = excluded.epoch, sequence = 0 \
    WHERE outbox_marks.epoch <> excluded.epoch";
