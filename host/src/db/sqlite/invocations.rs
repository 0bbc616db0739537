//! Invocations and usage in SQLite.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::{ROWS, SqliteRepository, kept, log_lines, row, unavailable, usage};
use crate::db::{DbError, Entry, InvocationFilter, Invocations, Kept, Page, UsageSum};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, PluginName, TenantId};
use crate::domain::invocation::{ABANDONED, InvocationRecord, Usage};
use crate::problem::Code;

const HOUR_MS: i64 = 3_600_000;

#[async_trait]
impl Invocations for SqliteRepository {
    async fn record(&self, entries: &[Entry]) -> Result<BTreeMap<TenantId, Kept>, DbError> {
        let mut transaction = self.begin().await?;
        let tenants = existing_tenants(&mut transaction, entries).await?;
        let entries: Vec<&Entry> = entries
            .iter()
            .filter(|entry| tenants.contains(&entry.record.tenant))
            .collect();
        let known = known(&mut transaction, &entries).await?;
        let new: Vec<&Entry> = entries
            .into_iter()
            .filter(|entry| !known.contains(&entry.record.id))
            .collect();
        insert(&mut transaction, &new).await?;
        log_lines::insert(&mut transaction, &new).await?;

        let mut sums: BTreeMap<(TenantId, &PluginName, i64), UsageSum> = BTreeMap::new();
        let mut added: BTreeMap<TenantId, Kept> = BTreeMap::new();
        for Entry { record, log_lines } in &new {
            let added = added.entry(record.tenant).or_default();
            added.records += 1;
            for line in log_lines {
                added.log_bytes += log_lines::bytes(line)?;
            }
            let hour = record.started_at.0.div_euclid(HOUR_MS) * HOUR_MS;
            sums.entry((record.tenant, &record.plugin, hour))
                .or_insert_with(|| UsageSum::none(record.plugin.clone()))
                .add(record);
        }
        for ((tenant, _, hour), sum) in &sums {
            usage::add(&mut transaction, *tenant, *hour, sum).await?;
        }
        for (tenant, kept) in &mut added {
            *kept = kept::add(&mut transaction, *tenant, *kept).await?;
        }
        transaction.commit().await.map_err(unavailable)?;
        Ok(added)
    }

    async fn kept(&self, tenant: TenantId) -> Result<Kept, DbError> {
        kept::read(&self.readers, tenant).await
    }

    async fn invocation(
        &self,
        tenant: TenantId,
        id: InvocationId,
    ) -> Result<Option<InvocationRecord>, DbError> {
        let row = sqlx::query("SELECT * FROM invocations WHERE tenant = $1 AND id = $2")
            .bind(tenant.to_string())
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(unavailable)?;
        row.as_ref().map(read).transpose()
    }

    async fn invocations(
        &self,
        tenant: TenantId,
        filter: &InvocationFilter,
        page: Page<InvocationId>,
    ) -> Result<Vec<InvocationRecord>, DbError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT * FROM invocations WHERE tenant = ");
        query.push_bind(tenant.to_string());
        if let Some(plugin) = &filter.plugin {
            query.push(" AND plugin = ").push_bind(plugin.to_string());
        }
        if let Some(since) = filter.since {
            query.push(" AND started_at >= ").push_bind(since.0);
        }
        if filter.failed {
            query.push(" AND code IS NOT NULL");
        }
        if let Some(after) = page.after {
            query.push(" AND id < ").push_bind(after.to_string());
        }
        query
            .push(" ORDER BY id DESC LIMIT ")
            .push_bind(i64::from(page.limit));
        let rows = query
            .build()
            .fetch_all(&self.readers)
            .await
            .map_err(unavailable)?;
        rows.iter().map(read).collect()
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

/// The tenants of these entries that are still there.
async fn existing_tenants(
    connection: &mut SqliteConnection,
    entries: &[Entry],
) -> Result<BTreeSet<TenantId>, DbError> {
    let tenants: BTreeSet<TenantId> = entries.iter().map(|entry| entry.record.tenant).collect();
    let tenants: Vec<TenantId> = tenants.into_iter().collect();
    existing(connection, "SELECT id FROM tenants WHERE id IN (", &tenants).await
}

/// Those of these entries that are stored already: a batch is tried again where nobody knows whether it was written.
async fn known(
    connection: &mut SqliteConnection,
    entries: &[&Entry],
) -> Result<BTreeSet<InvocationId>, DbError> {
    let ids: Vec<InvocationId> = entries.iter().map(|entry| entry.record.id).collect();
    existing(connection, "SELECT id FROM invocations WHERE id IN (", &ids).await
}

/// Those of `ids` that a query finds, which is given as far as the list of them.
async fn existing<T>(
    connection: &mut SqliteConnection,
    query: &'static str,
    ids: &[T],
) -> Result<BTreeSet<T>, DbError>
where
    T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Display + Ord,
{
    let mut existing = BTreeSet::new();
    for some in ids.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(query);
        let mut list = query.separated(", ");
        for id in some {
            list.push_bind(id.to_string());
        }
        query.push(")");
        let query = query.build().persistent(some.len() == ROWS);
        for row in query.fetch_all(&mut *connection).await.map_err(unavailable)? {
            existing.insert(row::parsed(&row, "id")?);
        }
    }
    Ok(existing)
}

/// Adds invocations, many with each statement: a statement is handed to the thread of the database, and that costs more
/// than a row does.
async fn insert(connection: &mut SqliteConnection, entries: &[&Entry]) -> Result<(), DbError> {
    for some in entries.chunks(ROWS) {
        let mut rows = Vec::with_capacity(some.len());
        for Entry { record, .. } in some {
            let blame = record.blame.map(|blame| word(&blame, "invocations.blame"));
            rows.push((
                record,
                word(&record.trigger, "invocations.trigger_kind")?,
                blame.transpose()?,
                consumed(&record.usage)?,
            ));
        }
        let mut query = QueryBuilder::<Sqlite>::new(
            "INSERT INTO invocations (id, tenant, plugin, version, trigger_kind, method, route, status, code, blame, \
             principal, started_at, consumed) ",
        );
        query.push_values(rows, |mut row, (record, trigger, blame, consumed)| {
            row.push_bind(record.id.to_string())
                .push_bind(record.tenant.to_string())
                .push_bind(record.plugin.as_str())
                .push_bind(record.version.to_string())
                .push_bind(trigger)
                .push_bind(record.method.as_str())
                .push_bind(record.route.as_str())
                .push_bind(i64::from(record.status))
                .push_bind(record.code)
                .push_bind(blame)
                .push_bind(record.principal.as_deref())
                .push_bind(record.started_at.0)
                .push_bind(consumed);
        });
        let query = query.build().persistent(some.len() == ROWS);
        query.execute(&mut *connection).await.map_err(unavailable)?;
    }
    Ok(())
}

/// What was consumed, without what was not: most records are of invocations that used little.
fn consumed(usage: &Usage) -> Result<String, DbError> {
    let all = row::to_json(usage, "invocations.consumed")?;
    // An object of numbers alone, so that a comma stands between two of them and nowhere else.
    let members = all.trim_start_matches('{').trim_end_matches('}').split(',');
    let used: Vec<&str> = members.filter(|member| !member.ends_with(":0")).collect();
    Ok(format!("{{{}}}", used.join(",")))
}

fn read(row: &SqliteRow) -> Result<InvocationRecord, DbError> {
    let code = row::optional_text(row, "code")?
        .map(|text| {
            let mut known = Code::ALL.iter().map(|code| code.as_str()).chain([ABANDONED]);
            let known = known.find(|code| *code == text);
            known.ok_or_else(|| DbError::corrupt("invocations.code", text))
        })
        .transpose()?;
    let blame = row::optional_text(row, "blame")?
        .map(|text| from_word(text, "invocations.blame"))
        .transpose()?;
    Ok(InvocationRecord {
        id: row::parsed(row, "id")?,
        tenant: row::parsed(row, "tenant")?,
        plugin: row::parsed(row, "plugin")?,
        version: row::parsed(row, "version")?,
        trigger: from_word(row::text(row, "trigger_kind")?, "invocations.trigger_kind")?,
        method: row::text(row, "method")?,
        route: row::text(row, "route")?,
        status: row::number(row, "status")?,
        code,
        blame,
        principal: row::optional_text(row, "principal")?,
        started_at: row::timestamp(row, "started_at")?,
        usage: row::json(row, "consumed")?,
    })
}

/// A word of the domain as it is written in JSON.
fn word<T: Serialize>(value: &T, column: &'static str) -> Result<String, DbError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Ok(word),
        other => Err(DbError::corrupt(column, format!("{other:?} is not a word"))),
    }
}

fn from_word<T: DeserializeOwned>(word: String, column: &'static str) -> Result<T, DbError> {
    serde_json::from_value(word.into()).map_err(|error| DbError::corrupt(column, error))
}
