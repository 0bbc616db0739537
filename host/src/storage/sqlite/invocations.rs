//! Invocation records and usage in SQLite.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::blocks::{self, Block};
use super::{SqliteRepository, calls, kept, log_lines, tenants, unavailable, usage};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, TenantId};
use crate::domain::invocation::{InvocationRecord, UsageSum};
use crate::storage::{DbError, Entry, InvocationFilter, Invocations, Kept, Page, Totals};

#[async_trait]
impl Invocations for SqliteRepository {
    async fn record(&self, entries: &[Entry]) -> Result<BTreeMap<TenantId, Kept>, DbError> {
        let mut transaction = self.begin().await?;
        let new = blocks::insert_new(&mut transaction, Block::of(entries.iter())).await?;
        let mut new: Vec<&Entry> = new.iter().flat_map(Block::entries).collect();
        // Lines are written in the order in which followers see them, which differs from the order
        // of blocks. All entries are parts of one slice, so their addresses give that order.
        new.sort_unstable_by_key(|entry| std::ptr::from_ref::<Entry>(entry));
        let log_bytes = log_lines::insert(&mut transaction, &new).await?;

        let mut totals = Totals::default();
        let mut added: BTreeMap<TenantId, Kept> = BTreeMap::new();
        for (Entry { record, .. }, log_bytes) in new.iter().zip(log_bytes) {
            let added = added.entry(record.tenant).or_default();
            added.records += 1;
            added.log_bytes += log_bytes;
            totals.add(record);
        }
        let sums: Vec<_> = totals.usage.sums().collect();
        usage::add(&mut transaction, &sums).await?;
        calls::add(&mut transaction, totals.calls.calls()).await?;
        let kept = kept::add(&mut transaction, added).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(kept)
    }

    async fn add_totals(&self, totals: &Totals) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        let tenants = totals.usage.sums().map(|(tenant, ..)| tenant).collect();
        let tenants = tenants::existing(&mut transaction, tenants).await?;
        let sums = totals.usage.sums();
        let sums: Vec<_> = sums.filter(|(tenant, ..)| tenants.contains(tenant)).collect();
        usage::add(&mut transaction, &sums).await?;
        let calls = totals.calls.calls();
        let calls = calls.filter(|(key, _)| tenants.contains(&key.tenant));
        calls::add(&mut transaction, calls).await?;
        transaction.commit().await.map_err(unavailable)
    }

    async fn kept(&self, tenant: TenantId) -> Result<Kept, DbError> {
        kept::read(&self.readers, tenant).await
    }

    async fn invocation(
        &self,
        tenant: TenantId,
        id: InvocationId,
    ) -> Result<Option<InvocationRecord>, DbError> {
        blocks::find(&self.readers, tenant, id).await
    }

    async fn invocations(
        &self,
        tenant: TenantId,
        filter: &InvocationFilter,
        page: Page<InvocationId>,
    ) -> Result<Vec<InvocationRecord>, DbError> {
        blocks::list(&self.readers, tenant, filter, page).await
    }

    async fn usage(
        &self,
        tenant: TenantId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<UsageSum>, DbError> {
        usage::sums(&self.readers, tenant, from, to).await
    }

    async fn prune_before(&self, before: Timestamp) -> Result<u64, DbError> {
        let mut transaction = self.begin().await?;
        let rows = kept::prune_before(&mut transaction, before).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(rows)
    }

    async fn prune_beyond(&self, tenant: TenantId, most: Kept) -> Result<Kept, DbError> {
        let mut transaction = self.begin().await?;
        let left = kept::prune_beyond(&mut transaction, tenant, most).await?;
        transaction.commit().await.map_err(unavailable)?;
        Ok(left)
    }
}
