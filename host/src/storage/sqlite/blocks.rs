//! Invocation records in blocks: records of one plugin version that arrive in one batch are stored
//! in one row.
//!
//! A block is written, skipped and deleted as a whole. Its records are JSON, sorted by id. An id
//! begins with its time, so blocks are ordered by time. They may overlap, because an invocation
//! that began early may end late.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use futures_util::TryStreamExt as _;
use http::Method;
use serde::{Deserialize, Serialize, Serializer};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection, SqlitePool};

use super::{ROWS, or_missing, row, summaries, tenants, unavailable};
use crate::domain::clock::Timestamp;
use crate::domain::function::FunctionOutcome;
use crate::domain::id::{FunctionName, InvocationId, JobId, JobName, PluginName, TenantId, VersionDigest};
use crate::domain::invocation::{Blame, InvocationRecord, Trigger, Triggered, Usage};
use crate::domain::job::JobOutcome;
use crate::domain::principal::PrincipalId;
use crate::domain::problem_code::ProblemCode;
use crate::domain::resource::Resource;
use crate::domain::units::as_u64;
use crate::storage::{DbError, Entry, InvocationFilter, Page};

/// The most records of a block and of a statement. Larger ones would keep a processor from plugins
/// for too long, when they are written and when a few records of a block are read.
const RECORDS: usize = 500;

/// At least one entry of one plugin version.
pub(super) struct Block<'a> {
    /// Sorted by id.
    entries: Vec<&'a Entry>,
}

/// The part of a block that decides whether it is deleted.
pub(super) struct Oldest {
    /// Time at which its latest invocation began.
    pub started_last: Timestamp,
    /// Number of its records.
    pub records: u64,
}

/// A stored record, without the values that are common to its block.
#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    id: InvocationId,
    trigger: Trigger,
    /// Method and route of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    method: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    route: Option<Cow<'a, str>>,
    /// Name and outcome of a function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    function: Option<FunctionName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<FunctionOutcome>,
    /// Kind, id, attempt and outcome of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<JobName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job_id: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job_outcome: Option<JobOutcome>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    blame: Option<Blame>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<PrincipalId>,
    started_at: i64,
}

/// A stored record with its usage.
#[derive(Serialize, Deserialize)]
struct Member<'a, U> {
    record: Stored<'a>,
    consumed: U,
}

/// Serializes only the measurements that are not zero.
struct Used<'a>(&'a Usage);

impl Serialize for Used<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.used())
    }
}

impl<'a> Block<'a> {
    /// Groups entries into blocks.
    pub fn of(entries: impl Iterator<Item = &'a Entry>) -> Vec<Self> {
        let mut blocks: BTreeMap<(TenantId, &PluginName, VersionDigest), Vec<&Entry>> = BTreeMap::new();
        for entry in entries {
            let record = &entry.record;
            blocks
                .entry((record.tenant, &record.plugin, record.version))
                .or_default()
                .push(entry);
        }
        for entries in blocks.values_mut() {
            entries.sort_unstable_by_key(|entry| entry.record.id);
        }
        let in_blocks = blocks.values().flat_map(|entries| entries.chunks(RECORDS));
        in_blocks
            .map(|entries| Self {
                entries: entries.to_vec(),
            })
            .collect()
    }

    /// The number of blocks that one statement adds.
    fn of_one_statement(blocks: &[Self]) -> usize {
        let mut records = 0;
        let fits = |block: &&Self| {
            records += block.entries.len();
            records <= RECORDS
        };
        blocks.iter().take(ROWS).take_while(fits).count()
    }

    /// The entries, sorted by id.
    pub fn entries(&self) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().copied()
    }

    pub fn records(&self) -> impl Iterator<Item = &'a InvocationRecord> {
        self.entries().map(|entry| &entry.record)
    }

    pub fn first(&self) -> &'a InvocationRecord {
        &self.entries[0].record
    }

    pub fn last(&self) -> &'a InvocationRecord {
        &self.entries[self.entries.len() - 1].record
    }

    fn content(&self) -> Result<String, DbError> {
        let members = self.records().map(|record| Member {
            record: Stored::from(record),
            consumed: Used(&record.usage),
        });
        row::to_json(&members.collect::<Vec<_>>(), "invocation_blocks.content")
    }
}

impl<'a> From<&'a InvocationRecord> for Stored<'a> {
    fn from(record: &'a InvocationRecord) -> Self {
        Self {
            id: record.id,
            trigger: record.triggered.trigger(),
            method: record
                .triggered
                .method()
                .map(|method| Cow::Borrowed(method.as_str())),
            route: record.triggered.route().map(Cow::Borrowed),
            function: record.triggered.function().cloned(),
            outcome: record.triggered.function_outcome(),
            job: record.triggered.job().cloned(),
            job_id: record.triggered.job_id(),
            attempt: record.triggered.attempt(),
            job_outcome: record.triggered.job_outcome(),
            status: record.status,
            code: record.code.as_ref().map(|code| Cow::Borrowed(code.as_str())),
            blame: record.blame,
            principal: record.principal,
            started_at: record.started_at.0,
        }
    }
}

/// Adds the blocks that are not stored yet and whose tenants exist, and returns them. Usually these
/// are all blocks, so the check runs only if a statement fails: for a repeated batch or a deleted
/// tenant.
pub(super) async fn insert_new<'a>(
    connection: &mut SqliteConnection,
    mut blocks: Vec<Block<'a>>,
) -> Result<Vec<Block<'a>>, DbError> {
    let mut new = Vec::with_capacity(blocks.len());
    while !blocks.is_empty() {
        let mut some: Vec<_> = blocks.drain(..Block::of_one_statement(&blocks)).collect();
        match insert(connection, &some).await {
            Ok(()) => {}
            // The failed statement added nothing, and the transaction is still open.
            Err(DbError::Taken(_) | DbError::Missing(_)) => {
                let known = known(connection, &some).await?;
                let tenants = some.iter().map(|block| block.first().tenant).collect();
                let tenants = tenants::existing(connection, tenants).await?;
                some.retain(|block| {
                    tenants.contains(&block.first().tenant) && !known.contains(&block.last().id)
                });
                insert(connection, &some).await?;
            }
            Err(error) => return Err(error),
        }
        new.append(&mut some);
    }
    Ok(new)
}

/// One record of a tenant.
pub(super) async fn find(
    readers: &SqlitePool,
    tenant: TenantId,
    id: InvocationId,
) -> Result<Option<InvocationRecord>, DbError> {
    let mut blocks = sqlx::query(
        "SELECT plugin, version, content FROM invocation_blocks \
         WHERE tenant = $1 AND last_id >= $2 AND first_id <= $2 ORDER BY last_id",
    )
    .bind(tenant.to_string())
    .bind(id.to_string())
    .fetch(readers);
    while let Some(block) = blocks.try_next().await.map_err(unavailable)? {
        let mut records = read(&block, tenant).into_iter();
        if let Some(record) = records.find(|record| record.id == id) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Lists a tenant's records, the newest first. Reads blocks only until there are enough records.
pub(super) async fn list(
    readers: &SqlitePool,
    tenant: TenantId,
    filter: &InvocationFilter,
    page: Page<InvocationId>,
) -> Result<Vec<InvocationRecord>, DbError> {
    let mut query = QueryBuilder::<Sqlite>::new(
        "SELECT b.plugin, b.version, b.last_id, b.content FROM invocation_blocks b \
         LEFT JOIN block_summaries s ON s.tenant = b.tenant AND s.last_id = b.last_id AND s.first_id = b.first_id \
         WHERE b.tenant = ",
    );
    query.push_bind(tenant.to_string());
    if let Some(plugin) = &filter.plugin {
        query.push(" AND b.plugin = ").push_bind(plugin.to_string());
    }
    if let Some(since) = filter.since {
        query.push(" AND b.started_last >= ").push_bind(since.0);
    }
    if filter.failed {
        query.push(" AND b.failures > 0");
    }
    if let Some(after) = page.after {
        query.push(" AND b.first_id < ").push_bind(after.to_string());
    }
    summaries::push_wanted(&mut query, filter);
    query.push(" ORDER BY b.last_id DESC");
    let is_wanted = |record: &InvocationRecord| {
        filter.accepts(record) && page.after.is_none_or(|after| record.id < after)
    };
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    // Records that may be older than records of an older block.
    let mut waiting = BTreeMap::new();
    let mut blocks = query.build().fetch(readers);
    while found.len() < limit
        && let Some(block) = blocks.try_next().await.map_err(unavailable)?
    {
        let newest_left: InvocationId = row::parsed(&block, "last_id")?;
        let newer = waiting.split_off(&newest_left);
        found.extend(newer.into_values().rev());
        let records = read(&block, tenant).into_iter().filter(is_wanted);
        waiting.extend(records.map(|record| (record.id, record)));
    }
    found.extend(waiting.into_values().rev());
    found.truncate(limit);
    Ok(found)
}

/// Deletes a tenant's oldest blocks, until `most` records are deleted or `goes` refuses the next
/// block. `goes` gets the number of deleted records and the block. Returns the number of deleted
/// records.
pub(super) async fn delete_oldest(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    most: u64,
    goes: impl Fn(u64, &Oldest) -> bool,
) -> Result<u64, DbError> {
    let (mut records, mut last) = (0, None);
    {
        let mut oldest = sqlx::query(
            "SELECT last_id, started_last, records FROM invocation_blocks WHERE tenant = $1 ORDER BY last_id",
        )
        .bind(tenant.to_string())
        .fetch(&mut *connection);
        while records < most
            && let Some(block) = oldest.try_next().await.map_err(unavailable)?
        {
            let oldest = Oldest {
                started_last: row::timestamp(&block, "started_last")?,
                records: row::number(&block, "records")?,
            };
            if !goes(records, &oldest) {
                break;
            }
            records += oldest.records;
            last = Some(row::text(&block, "last_id")?);
        }
    }
    if let Some(last) = last {
        for delete in [
            "DELETE FROM invocation_blocks WHERE tenant = $1 AND last_id <= $2",
            "DELETE FROM block_summaries WHERE tenant = $1 AND last_id <= $2",
        ] {
            sqlx::query(delete)
                .bind(tenant.to_string())
                .bind(last.as_str())
                .execute(&mut *connection)
                .await
                .map_err(unavailable)?;
        }
    }
    Ok(records)
}

/// Adds blocks with one statement. Each statement is passed to the database's thread, which costs
/// more than a row.
async fn insert(connection: &mut SqliteConnection, blocks: &[Block<'_>]) -> Result<(), DbError> {
    if blocks.is_empty() {
        return Ok(());
    }
    let contents = blocks.iter().map(Block::content).collect::<Result<Vec<_>, _>>()?;
    let mut query = QueryBuilder::<Sqlite>::new(
        "INSERT INTO invocation_blocks \
         (tenant, plugin, version, first_id, last_id, started_last, records, failures, content) ",
    );
    query.push_values(blocks.iter().zip(contents), |mut values, (block, content)| {
        let first = block.first();
        let started_last = block.records().map(|record| record.started_at.0).max();
        let failures = block.records().filter(|record| record.has_failed()).count();
        values
            .push_bind(first.tenant.to_string())
            .push_bind(first.plugin.to_string())
            .push_bind(first.version.to_string())
            .push_bind(first.id.to_string())
            .push_bind(block.last().id.to_string())
            .push_bind(started_last)
            .push_bind(row::to_integer(as_u64(block.entries.len())))
            .push_bind(row::to_integer(as_u64(failures)))
            .push_bind(content);
    });
    // Statements with several rows differ in their number of rows, so they are not cached.
    query
        .build()
        .persistent(blocks.len() == 1)
        .execute(&mut *connection)
        .await
        .map_err(or_missing(Resource::Tenant))?;
    summaries::insert(connection, blocks).await
}

/// The ids of the last records of those blocks that are stored already. A batch is repeated if it
/// is unknown whether it was written.
async fn known(
    connection: &mut SqliteConnection,
    blocks: &[Block<'_>],
) -> Result<BTreeSet<InvocationId>, DbError> {
    let mut query =
        QueryBuilder::<Sqlite>::new("SELECT last_id FROM invocation_blocks WHERE (tenant, last_id) IN (");
    query.push_values(blocks, |mut values, block| {
        let last = block.last();
        values
            .push_bind(last.tenant.to_string())
            .push_bind(last.id.to_string());
    });
    query.push(")");
    let rows = query.build().persistent(false).fetch_all(connection).await;
    let rows = rows.map_err(unavailable)?;
    rows.iter().map(|row| row::parsed(row, "last_id")).collect()
}

/// The records of a block. Records that this host cannot read (of a later host) and damaged blocks
/// are skipped, so that the others are found.
fn read(block: &SqliteRow, tenant: TenantId) -> Vec<InvocationRecord> {
    try_read(block, tenant).unwrap_or_else(|error| {
        tracing::warn!(%tenant, %error, "a block of invocations cannot be read and is skipped");
        Vec::new()
    })
}

fn try_read(block: &SqliteRow, tenant: TenantId) -> Result<Vec<InvocationRecord>, DbError> {
    let plugin: PluginName = row::parsed(block, "plugin")?;
    let version: VersionDigest = row::parsed(block, "version")?;
    let record = |Member { record, consumed }: Member<'static, Usage>| {
        Ok(InvocationRecord {
            id: record.id,
            tenant,
            plugin: plugin.clone(),
            version,
            triggered: triggered(&record)?,
            status: record.status,
            code: record.code.as_deref().map(ProblemCode::from),
            blame: record.blame,
            principal: record.principal,
            started_at: Timestamp(record.started_at),
            usage: consumed,
        })
    };
    let content = row::text(block, "content")?;
    members(&content)?.into_iter().map(record).collect()
}

fn members(content: &str) -> Result<Vec<Member<'static, Usage>>, DbError> {
    if let Ok(members) = serde_json::from_str(content) {
        return Ok(members);
    }
    let unreadable = |error| DbError::corrupt("invocation_blocks.content", error);
    let members: Vec<serde_json::Value> = serde_json::from_str(content).map_err(unreadable)?;
    let known = members
        .into_iter()
        .filter_map(|member| serde_json::from_value(member).ok());
    Ok(known.collect())
}

fn triggered(record: &Stored<'_>) -> Result<Triggered, DbError> {
    let missing = |what| DbError::corrupt("invocation_blocks.content", what);
    Ok(match record.trigger {
        Trigger::Http => Triggered::Http {
            method: parsed_method(record.method.as_deref().ok_or_else(|| missing("no method"))?)?,
            route: record.route.as_deref().ok_or_else(|| missing("no route"))?.into(),
        },
        Trigger::Function => Triggered::Function {
            name: record.function.clone().ok_or_else(|| missing("no function"))?,
            outcome: record.outcome,
        },
        Trigger::Job => Triggered::Job {
            id: record.job_id.ok_or_else(|| missing("no job id"))?,
            name: record.job.clone().ok_or_else(|| missing("no job"))?,
            attempt: record.attempt.ok_or_else(|| missing("no attempt"))?,
            outcome: record.job_outcome,
        },
    })
}

fn parsed_method(method: &str) -> Result<Method, DbError> {
    method
        .parse()
        .map_err(|_| DbError::corrupt("invocation_blocks.content", method))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::conformance::entry;

    #[test]
    fn no_block_and_no_statement_has_more_than_so_many_records() {
        let tenant = TenantId::generate();
        let entries = |plugin: &str, count: usize| -> Vec<Entry> {
            (0..count).map(|_| entry(tenant, plugin, 1, &[])).collect()
        };
        let entries = [entries("many", 2 * RECORDS + 1), entries("one", 1)].concat();
        let blocks = Block::of(entries.iter());
        let sizes: Vec<usize> = blocks.iter().map(|block| block.entries.len()).collect();
        assert_eq!(sizes, [RECORDS, RECORDS, 1, 1]);
        assert_eq!(Block::of_one_statement(&blocks), 1);
        assert_eq!(Block::of_one_statement(&blocks[1..]), 1);
        assert_eq!(Block::of_one_statement(&blocks[2..]), 2);
        let ids: Vec<_> = blocks
            .iter()
            .flat_map(Block::entries)
            .map(|entry| entry.record.id)
            .collect();
        assert!(ids[..2 * RECORDS + 1].is_sorted());
    }

    #[test]
    fn records_of_every_host_version_are_read_back() {
        let stored = r#"[{"record": {"id": "0190a5c0-0000-7000-8000-000000000001", "trigger": "http", "method": "GET", "route": "/orders",
            "status": 200, "principal": "api-key:0190a5c0-0000-7000-8000-000000000002", "started_at": 1}, "consumed": {"cpu_us": 7}},
            {"record": {"id": "0190a5c0-0000-7000-8000-000000000003", "trigger": "http", "method": "PUT", "route": "/",
            "status": 502, "code": "plugin_trapped", "blame": "guest", "principal": null, "started_at": 2}, "consumed": {}}]"#;
        let members: Vec<Member<'static, Usage>> = serde_json::from_str(stored).unwrap();
        let of_key = members[0].record.principal.unwrap().to_string();
        assert_eq!(of_key, "api-key:0190a5c0-0000-7000-8000-000000000002");
        assert_eq!(members[1].record.principal, None);
        assert_eq!(
            triggered(&members[1].record).unwrap().method(),
            Some(&Method::PUT)
        );
        assert!(parsed_method("no method").is_err());
        let function = entry(TenantId::generate(), "orders", 1, &[]).record;
        let function = InvocationRecord {
            triggered: Triggered::Function {
                name: "price.adjust".parse().unwrap(),
                outcome: Some(FunctionOutcome::InvalidInput),
            },
            ..function
        };
        let stored = serde_json::to_string(&Stored::from(&function)).unwrap();
        assert!(
            stored.contains(r#""function":"price.adjust","outcome":"invalid-input""#),
            "{stored}"
        );
        assert!(!stored.contains("route"), "{stored}");
        let stored: Stored<'_> = serde_json::from_str(&stored).unwrap();
        assert_eq!(triggered(&stored).unwrap(), function.triggered);
        let job = InvocationRecord {
            triggered: Triggered::Job {
                id: JobId::generate(),
                name: "sync-erp".parse().unwrap(),
                attempt: 2,
                outcome: Some(JobOutcome::Retry),
            },
            ..function
        };
        let stored = serde_json::to_string(&Stored::from(&job)).unwrap();
        assert!(
            stored.contains(r#""attempt":2,"job_outcome":"retry""#) && !stored.contains("function"),
            "{stored}"
        );
        let stored: Stored<'_> = serde_json::from_str(&stored).unwrap();
        assert_eq!(triggered(&stored).unwrap(), job.triggered);
    }

    #[test]
    fn records_of_another_host_are_read_as_far_as_they_are_known() {
        let member = |change: &str| {
            let id = InvocationId::generate();
            format!(
                r#"{{"record": {{"id": "{id}", "trigger": "http", "method": "GET", "route": "/", "status": 503,
                "code": "made-up-later", "started_at": 1, "later": 1{change}}}, "consumed": {{"later": 7}}}}"#
            )
        };
        let content = format!(
            "[{}, {}, {}]",
            member(""),
            member(r#", "principal": "moon""#),
            member("")
        );
        let read = members(&content).unwrap();
        assert_eq!(
            read.len(),
            2,
            "the one in the middle is of a kind that is not known"
        );
        assert_eq!(read[0].record.code.as_deref(), Some("made-up-later"));
        assert!(members("[{").is_err());
    }
}
