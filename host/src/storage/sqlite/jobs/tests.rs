//! Tests of the statements of the queue: their plans, and that the tables agree after many changes.

use std::time::Duration;

use sqlx::{AssertSqlSafe, SqlitePool};

use super::super::{SqliteRepository, row};
use super::{
    acknowledge, add, attempts, change, claim, ending, keys, lost, maintain, promote, prune, read, stored,
};
use crate::domain::clock::Timestamp;
use crate::domain::id::{JobName, PluginName, TenantId};
use crate::storage::conformance::{self, add_some, new_job};
use crate::storage::{ClaimPolicy, Jobs as _, Repository};

async fn open() -> (tempfile::TempDir, SqliteRepository) {
    let folder = tempfile::tempdir().unwrap();
    let repository = SqliteRepository::open(folder.path()).await.unwrap();
    (folder, repository)
}

/// The steps of the plan of a statement, without the scans of the list that is its parameter.
async fn plan(pool: &SqlitePool, statement: &str) -> Vec<String> {
    let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
    let rows = sqlx::query(explain).fetch_all(pool).await.unwrap();
    let steps = rows.iter().map(|row| row::text(row, "detail").unwrap());
    steps.filter(|step| !step.contains("VIRTUAL TABLE")).collect()
}

/// Each statement on the way of a job, with the indexes that it uses.
const STATEMENTS: [(&str, &[&str]); 37] = [
    (claim::NEXT_TENANT, &["jobs_ready", "jobs_running (tenant=?)"]),
    (claim::CANDIDATES, &["jobs_ready (tenant=?)"]),
    (claim::TAKE, &["INTEGER PRIMARY KEY"]),
    (claim::HOLD, &["INTEGER PRIMARY KEY"]),
    (claim::ADD_ATTEMPTS, &["INTEGER PRIMARY KEY"]),
    (
        claim::FORGET_ATTEMPTS,
        &["PRIMARY KEY (seq=?)", "INTEGER PRIMARY KEY"],
    ),
    (acknowledge::CLAIMED, &["jobs_claim (claim=?)"]),
    (acknowledge::EXTEND, &["jobs_claim (claim=?)"]),
    (attempts::COMPLETE, &["PRIMARY KEY (seq=? AND number=?)"]),
    (attempts::RUN_AGAIN, &["INTEGER PRIMARY KEY"]),
    (ending::MOVE, &["INTEGER PRIMARY KEY"]),
    (ending::DELETE_LIVE, &["INTEGER PRIMARY KEY"]),
    (ending::DELETE_ENDED, &["INTEGER PRIMARY KEY"]),
    (ending::DELETE_PAYLOADS, &["INTEGER PRIMARY KEY"]),
    (ending::DELETE_ATTEMPTS, &["PRIMARY KEY (seq=?)"]),
    (
        keys::OCCUPIED,
        &["PRIMARY KEY (tenant=? AND plugin=? AND name=? AND concurrency_key=?)"],
    ),
    (
        keys::NEXT,
        &["jobs_next_of_key (tenant=? AND plugin=? AND name=? AND concurrency_key=?)"],
    ),
    (keys::READY, &["INTEGER PRIMARY KEY"]),
    (promote::DUE_TENANTS, &["job_counts_by_next_due (next_due<?)"]),
    (
        promote::PROMOTE,
        &["INTEGER PRIMARY KEY", "jobs_scheduled (tenant=? AND run_at<?)"],
    ),
    (
        promote::NOTE_NEXT_DUE,
        &["PRIMARY KEY (tenant=?)", "jobs_scheduled (tenant=?)"],
    ),
    (maintain::LOST, &["jobs_lease (lease_until<?)"]),
    (maintain::LOST_OF_NODE, &["jobs_by_node (node=?)"]),
    (lost::LAST, &["jobs_lease (lease_until<?)"]),
    (lost::LAST_OF_NODE, &["jobs_by_node (node=?)"]),
    (lost::EXPIRE, &["INTEGER PRIMARY KEY"]),
    (lost::STILL_LOST, &["jobs_claim (claim=?)"]),
    (
        maintain::TO_CANCEL,
        &["jobs_by_node (node=? AND cancel_requested=?)"],
    ),
    (
        maintain::RELEASE,
        &[
            "INTEGER PRIMARY KEY",
            "jobs_held (tenant=? AND plugin=? AND name=?)",
        ],
    ),
    (maintain::WAITING, &["jobs_by_plugin (tenant=? AND plugin=?)"]),
    (
        add::SAME_UNIQUE_KEY,
        &["jobs_unique (tenant=? AND plugin=? AND name=? AND unique_key=?)"],
    ),
    (prune::OLD_DONE, &["jobs_done_by_age (ended_at<?)"]),
    (prune::OLD_DEAD, &["jobs_dead_by_age (ended_at<?)"]),
    (prune::OLDEST_DONE, &["jobs_done (tenant=?)"]),
    (prune::OLDEST_DEAD, &["jobs_dead (tenant=?)"]),
    (change::REVIVE, &["INTEGER PRIMARY KEY"]),
    (stored::PAYLOADS, &["INTEGER PRIMARY KEY"]),
];

/// Statements that read a whole table of counters or of kinds, but no table of jobs.
const OVERVIEWS: [(&str, &[&str]); 2] = [
    (
        maintain::HELD,
        &["SCAN held_jobs", "jobs_held (tenant=? AND plugin=? AND name=?)"],
    ),
    (
        read::COUNTS,
        &[
            "SCAN job_counts",
            "jobs_running (tenant=?)",
            "jobs_ready_by_age (tenant=?)",
        ],
    ),
];

async fn assert_plans(repository: &SqliteRepository) {
    for (statement, wanted) in STATEMENTS {
        let steps = plan(&repository.readers, statement).await;
        let sorts = |step: &String| step.contains("SCAN") || step.contains("TEMP B-TREE");
        assert!(!steps.iter().any(sorts), "{statement}: {steps:#?}");
        assert_uses(statement, &steps, wanted);
    }
    for (statement, wanted) in OVERVIEWS {
        let steps = plan(&repository.readers, statement).await;
        assert!(!steps.iter().any(|step| step.contains("SCAN jobs")), "{steps:#?}");
        assert_uses(statement, &steps, wanted);
    }
    // These find jobs by id.
    for statement in [add::ENDED, add::SAME_ID, read::LIVE, read::ENDED] {
        assert_uses(
            statement,
            &plan(&repository.readers, statement).await,
            &["(tenant=? AND id=?)"],
        );
    }
    let steps = plan(&repository.readers, read::UNFINISHED_AMONG).await;
    assert_uses(read::UNFINISHED_AMONG, &steps, &["(tenant=? AND id=?)"; 2]);
}

fn assert_uses(statement: &str, steps: &[String], wanted: &[&str]) {
    // A bloom filter of the parameter's values saves searches.
    let is_search = |step: &&String| !step.contains("SUBQUERY") && !step.contains("BLOOM FILTER");
    let searches: Vec<_> = steps.iter().filter(is_search).collect();
    assert_eq!(searches.len(), wanted.len(), "{statement}: {searches:#?}");
    for wanted in wanted {
        let uses = searches.iter().any(|step| step.contains(wanted));
        assert!(uses, "{statement}: {wanted} is not used: {searches:#?}");
    }
}

/// Adds jobs in one statement, as `add_jobs` would.
async fn add_backlog(repository: &SqliteRepository, tenant: TenantId, state: &str, count: u32) {
    let statement = AssertSqlSafe(format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}) \
         INSERT INTO jobs (tenant, id, plugin, name, origin, priority, run_at, max_attempts, attempts_each, backoff, \
             depth, created_at, attempt, state) \
         SELECT '{tenant}', printf('00000000-0000-7000-8000-%012d', n), 'orders', 'send', '{{\"kind\":\"enqueued\"}}', \
             0, n, 3, 3, '{{}}', 0, n, 0, '{state}' FROM numbers"
    ));
    sqlx::query(statement).execute(&repository.writer).await.unwrap();
    let payloads = "INSERT INTO job_payloads SELECT seq, '{}' FROM jobs WHERE tenant = $1";
    sqlx::query(payloads)
        .bind(tenant.to_string())
        .execute(&repository.writer)
        .await
        .unwrap();
    sqlx::query("INSERT INTO job_counts (tenant, live, done, dead) VALUES ($1, $2, 0, 0)")
        .bind(tenant.to_string())
        .bind(i64::from(count))
        .execute(&repository.writer)
        .await
        .unwrap();
}

struct OneEach;

impl ClaimPolicy for OneEach {
    fn quota(&self, _: TenantId, _: u32, _: u32) -> u32 {
        1
    }

    fn lease(&self, _: TenantId, _: &PluginName, _: &JobName) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
}

#[tokio::test]
async fn no_statement_looks_through_the_backlog() {
    let (folder, repository) = open().await;
    assert_plans(&repository).await;
    let large = conformance::tenant(&repository, "large").await.id;
    let small = conformance::tenant(&repository, "small").await.id;
    add_backlog(&repository, large, "ready", 100_000).await;
    // The same plans, whether SQLite knows nothing of the backlog or has counted it.
    assert_plans(&repository).await;
    sqlx::query("ANALYZE").execute(&repository.writer).await.unwrap();
    repository.close().await;
    let repository = SqliteRepository::open(folder.path()).await.unwrap();
    assert_plans(&repository).await;

    let theirs = add_some(&repository, small, "send", 1).await;
    let now = Timestamp(2_000_000);
    for cursor in [Some(large), None] {
        let round = repository
            .claim_jobs("node-1", cursor, 2, now, &OneEach)
            .await
            .unwrap();
        let claimed: Vec<_> = round
            .claimed
            .iter()
            .map(|claimed| claimed.job.new.tenant)
            .collect();
        let wanted = if cursor.is_some() {
            [small, large]
        } else {
            [large, large]
        };
        assert_eq!(claimed, wanted);
        if cursor.is_some() {
            assert_eq!(round.claimed[0].job.new.id, theirs[0]);
        }
    }
}

#[tokio::test]
async fn a_thousand_tenants_have_their_turn_beside_a_large_backlog() {
    let (_folder, repository) = open().await;
    let large = conformance::tenant(&repository, "large").await.id;
    add_backlog(&repository, large, "ready", 2_000).await;
    sqlx::query(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000) \
         INSERT INTO tenants (id, name, plan, limits, suspended, created_at) \
         SELECT printf('01a00000-0000-7000-8000-%012d', n), 't' || n, 'standard', '{}', 0, 1 FROM numbers",
    )
    .execute(&repository.writer)
    .await
    .unwrap();
    let tenants = crate::storage::Removals::all_tenant_ids(&repository)
        .await
        .unwrap();
    assert_eq!(tenants.len(), 1_001);
    let others: Vec<TenantId> = tenants.into_iter().filter(|tenant| *tenant != large).collect();
    let jobs: Vec<_> = others.iter().map(|tenant| new_job(*tenant, "send")).collect();
    repository.add_jobs(&jobs).await.unwrap();

    let (mut cursor, mut claimed) = (None, Vec::new());
    for _ in 0..11 {
        let now = Timestamp(2_000_000);
        let round = repository
            .claim_jobs("node-1", cursor, 91, now, &OneEach)
            .await
            .unwrap();
        assert_eq!(round.claimed.len(), 91);
        cursor = round.cursor;
        claimed.extend(round.claimed.iter().map(|claimed| claimed.job.new.tenant));
    }
    // 1,001 claims, one of each tenant.
    claimed.sort();
    claimed.dedup();
    assert_eq!(claimed.len(), 1_001);
}

/// Counts of rows that must be zero.
const DISAGREEMENTS: [(&str, &str); 8] = [
    (
        "jobs without a payload",
        "SELECT COUNT(*) AS wrong FROM (SELECT seq FROM jobs UNION ALL SELECT seq FROM jobs_ended) \
         WHERE seq NOT IN (SELECT seq FROM job_payloads)",
    ),
    (
        "payloads without a job",
        "SELECT COUNT(*) AS wrong FROM job_payloads \
         WHERE seq NOT IN (SELECT seq FROM jobs) AND seq NOT IN (SELECT seq FROM jobs_ended)",
    ),
    (
        "attempts without a job",
        "SELECT COUNT(*) AS wrong FROM job_attempts \
         WHERE seq NOT IN (SELECT seq FROM jobs) AND seq NOT IN (SELECT seq FROM jobs_ended)",
    ),
    (
        "keys with another number of jobs",
        "SELECT COUNT(*) AS wrong FROM \
         (SELECT tenant, plugin, name, concurrency_key, COUNT(*) AS occupied FROM jobs WHERE occupies = 1 \
          GROUP BY tenant, plugin, name, concurrency_key) AS counted \
         FULL JOIN job_keys AS k ON k.tenant = counted.tenant AND k.plugin = counted.plugin AND k.name = counted.name \
             AND k.concurrency_key = counted.concurrency_key \
         WHERE k.occupied IS NOT counted.occupied",
    ),
    (
        "jobs that occupy no key and should, or the other way round",
        "SELECT COUNT(*) AS wrong FROM jobs WHERE occupies <> (concurrency_key IS NOT NULL AND \
         (state IN ('ready', 'held', 'running') OR \
          (state = 'scheduled' AND concurrency_ordered = 1 AND attempt > 0)))",
    ),
    (
        "scheduled jobs that are due before their tenant's next time",
        "SELECT COUNT(*) AS wrong FROM jobs JOIN job_counts ON job_counts.tenant = jobs.tenant \
         WHERE jobs.state = 'scheduled' AND (next_due IS NULL OR next_due > run_at)",
    ),
    (
        "jobs whose claim does not fit their state",
        "SELECT COUNT(*) AS wrong FROM jobs WHERE (state = 'running') <> (claim IS NOT NULL) \
         OR (state = 'running') <> (lease_until IS NOT NULL) OR (state = 'running') <> (node IS NOT NULL) \
         OR (cancel_requested = 1 AND state <> 'running')",
    ),
    (
        "jobs that are live and ended",
        "SELECT COUNT(*) AS wrong FROM jobs JOIN jobs_ended USING (seq)",
    ),
];

#[tokio::test]
async fn the_tables_agree_after_any_changes() {
    for seed in [2, 3] {
        let (_folder, repository) = open().await;
        let mut walk = conformance::Walk::begin(&repository, seed).await;
        for _ in 0..4 {
            walk.go(80).await;
            for (what, statement) in DISAGREEMENTS {
                let row = sqlx::query(statement)
                    .fetch_one(&repository.readers)
                    .await
                    .unwrap();
                assert_eq!(row::integer(&row, "wrong").unwrap(), 0, "seed {seed}: {what}");
            }
        }
        walk.finish().await;
        let tenants = crate::storage::Removals::all_tenant_ids(&repository)
            .await
            .unwrap();
        for tenant in tenants {
            let change = conformance::change(1);
            crate::storage::Tenants::purge_tenant(&repository, tenant, &change)
                .await
                .unwrap();
        }
        for table in [
            "jobs",
            "jobs_ended",
            "job_payloads",
            "job_attempts",
            "job_counts",
            "job_keys",
            "held_jobs",
        ] {
            let count = AssertSqlSafe(format!("SELECT COUNT(*) AS rows FROM {table}"));
            let row = sqlx::query(count).fetch_one(&repository.readers).await.unwrap();
            assert_eq!(row::integer(&row, "rows").unwrap(), 0, "{table}");
        }
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_read_does_not_stop_the_others() {
    let (_folder, repository) = open().await;
    let acme = conformance::tenant(&repository, "acme").await.id;
    let ids = add_some(&repository, acme, "send", 3).await;
    sqlx::query("UPDATE jobs SET origin = '{\"kind\":\"from-the-future\"}' WHERE id = $1")
        .bind(ids[0].to_string())
        .execute(&repository.writer)
        .await
        .unwrap();
    let claimed = conformance::claim(&repository, 9, conformance::NOW).await;
    let claimed: Vec<_> = claimed.iter().map(|claimed| claimed.job.new.id).collect();
    assert_eq!(claimed, ids[1..]);
    let counts = conformance::counts(&repository, acme).await;
    assert_eq!((counts.live, counts.dead), (2, 1));
    // Lists go on without it.
    let listed = conformance::listed(&repository, acme, &Default::default()).await;
    assert_eq!(listed.len(), 2);
    assert!(repository.job(acme, ids[0]).await.is_err());
}
