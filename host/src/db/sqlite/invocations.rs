//! Invocations and usage in SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, SqlSafeStr as _, SqlStr, Sqlite, SqliteConnection};

use super::{ROWS, SqliteRepository, kept, log_lines, or_taken, row, unavailable, usage};
use crate::db::{DbError, Entry, HourlyUsage, InvocationFilter, Invocations, Kept, Page, UsageSum};
use crate::domain::clock::Timestamp;
use crate::domain::id::{InvocationId, TenantId};
use crate::domain::invocation::{ABANDONED, InvocationRecord, Usage};
use crate::problem::Code;

#[async_trait]
impl Invocations for SqliteRepository {
    async fn record(&self, entries: &[Entry]) -> Result<BTreeMap<TenantId, Kept>, DbError> {
        let mut transaction = self.begin().await?;
        let tenants = entries.iter().map(|entry| entry.record.tenant).collect();
        let tenants = existing(&mut transaction, tenants).await?;
        let entries: Vec<&Entry> = entries
            .iter()
            .filter(|entry| tenants.contains(&entry.record.tenant))
            .collect();
        let new = insert_new(&mut transaction, &entries).await?;
        let log_bytes = log_lines::insert(&mut transaction, &new).await?;

        let mut usage = HourlyUsage::default();
        let mut added: BTreeMap<TenantId, Kept> = BTreeMap::new();
        for (Entry { record, .. }, log_bytes) in new.iter().zip(log_bytes) {
            let added = added.entry(record.tenant).or_default();
            added.records += 1;
            added.log_bytes += log_bytes;
            usage.add(record);
        }
        for (tenant, hour, sum) in usage.sums() {
            usage::add(&mut transaction, tenant, hour, sum).await?;
        }
        for (tenant, kept) in &mut added {
            *kept = kept::add(&mut transaction, *tenant, *kept).await?;
        }
        transaction.commit().await.map_err(unavailable)?;
        Ok(added)
    }

    async fn add_usage(&self, usage: &HourlyUsage) -> Result<(), DbError> {
        let mut transaction = self.begin().await?;
        let tenants = usage.sums().map(|(tenant, ..)| tenant).collect();
        let tenants = existing(&mut transaction, tenants).await?;
        for (tenant, hour, sum) in usage.sums().filter(|(tenant, ..)| tenants.contains(tenant)) {
            usage::add(&mut transaction, tenant, hour, sum).await?;
        }
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

/// Those of these tenants that are still there.
async fn existing(
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

/// Those of these entries that are stored already: a batch is tried again where nobody knows whether it was written.
async fn known(
    connection: &mut SqliteConnection,
    entries: &[&Entry],
) -> Result<BTreeSet<InvocationId>, DbError> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT id FROM invocations WHERE (tenant, id) IN (VALUES ");
    let mut list = query.separated(", ");
    for Entry { record, .. } in entries {
        list.push("(").push_bind_unseparated(record.tenant.to_string());
        list.push_unseparated(", ")
            .push_bind_unseparated(record.id.to_string())
            .push_unseparated(")");
    }
    query.push(")");
    let rows = query.build().persistent(false).fetch_all(connection).await;
    let rows = rows.map_err(unavailable)?;
    rows.iter().map(|row| row::parsed(row, "id")).collect()
}

/// Adds those invocations that are not there yet, and gives them back. They all are but where a batch is tried again, so
/// that nobody looks before one turns out to be there.
async fn insert_new<'a>(
    connection: &mut SqliteConnection,
    entries: &[&'a Entry],
) -> Result<Vec<&'a Entry>, DbError> {
    let mut new = Vec::with_capacity(entries.len());
    for some in entries.chunks(ROWS) {
        match insert(connection, some).await {
            Ok(()) => new.extend(some),
            // The statement added nothing; the transaction goes on.
            Err(DbError::Taken(_)) => {
                let known = known(connection, some).await?;
                let is_new = |entry: &&&Entry| !known.contains(&entry.record.id);
                let rest: Vec<&Entry> = some.iter().filter(is_new).copied().collect();
                insert(connection, &rest).await?;
                new.extend(rest);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(new)
}

/// Adds invocations with one statement: it is handed to the thread of the database, and that costs more than a row does.
async fn insert(connection: &mut SqliteConnection, entries: &[&Entry]) -> Result<(), DbError> {
    if entries.is_empty() {
        return Ok(());
    }
    let statement = match entries.len() {
        ROWS => FULL_INSERT.clone(),
        rows => AssertSqlSafe(insert_of(rows)).into_sql_str(),
    };
    let mut query = sqlx::query(statement).persistent(entries.len() == ROWS);
    for Entry { record, .. } in entries {
        let blame = record.blame.map(|blame| word(&blame, "invocations.blame"));
        query = query
            .bind(record.tenant.to_string())
            .bind(record.id.to_string())
            .bind(record.plugin.as_str())
            .bind(record.version.to_string())
            .bind(word(&record.trigger, "invocations.trigger_kind")?)
            .bind(record.method.as_str())
            .bind(record.route.as_str())
            .bind(i64::from(record.status))
            .bind(record.code)
            .bind(blame.transpose()?)
            .bind(record.principal.as_deref())
            .bind(record.started_at.0)
            .bind(consumed(&record.usage)?);
    }
    query
        .execute(&mut *connection)
        .await
        .map_err(or_taken("invocation"))?;
    Ok(())
}

/// The statement for as many rows as one takes, which is long.
static FULL_INSERT: LazyLock<SqlStr> = LazyLock::new(|| AssertSqlSafe(insert_of(ROWS)).into_sql_str());

/// The statement for so many rows. Nothing but their number is in it.
fn insert_of(rows: usize) -> String {
    let row = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    format!(
        "INSERT INTO invocations (tenant, id, plugin, version, trigger_kind, method, route, status, code, blame, \
         principal, started_at, consumed) VALUES {}",
        vec![row; rows].join(", ")
    )
}

/// What was consumed, without what was not: most records are of invocations that used little.
fn consumed(usage: &Usage) -> Result<String, DbError> {
    let all = row::to_json(usage, "invocations.consumed")?;
    // An object of numbers alone, so that a comma stands between two of them and nowhere else.
    let members = all.trim_start_matches('{').trim_end_matches('}').split(',');
    let mut used = String::with_capacity(all.len());
    for member in members.filter(|member| !member.ends_with(":0")) {
        used.push(if used.is_empty() { '{' } else { ',' });
        used.push_str(member);
    }
    if used.is_empty() {
        used.push('{');
    }
    used.push('}');
    Ok(used)
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
