//! Tests that a free thread goes to the tenant that has the fewest, not to the first in the queue.

use super::*;
use crate::domain::units::Span;

const ENDLESS: &str =
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";

fn limits(sql_time: Span) -> Limits {
    Limits {
        sql_time,
        wall: Span::s(600),
        ..Default::default()
    }
}

fn on_threads(folder: &Path, statements: usize, cursors: usize) -> Arc<SqliteDatabases> {
    let clock = Arc::new(ManualClock::new(NOW));
    Arc::new(SqliteDatabases::on_threads(folder, clock, statements, cursors).unwrap())
}

#[tokio::test]
async fn a_tenants_waiting_statements_do_not_delay_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let databases = on_threads(folder.path(), 2, 2);
    let greedy = TenantId::generate();
    let ask = |tenant, sql: &'static str| {
        let mut call = call(&databases, Some(tenant), limits(Span::s(600)));
        async move { call.query(sql, &[]).await }
    };
    // Its database is open, so later it waits only for a thread.
    let modest = TenantId::generate();
    ask(modest, "SELECT 1").await.unwrap();
    // The greedy tenant uses both threads, and its third statement waits.
    let running = [ENDLESS, ENDLESS].map(|sql| tokio::spawn(ask(greedy, sql)));
    until(async || (databases.held().statements == 2).then_some(())).await;
    let mut waiting = Box::pin(ask(greedy, ENDLESS));
    let mut other = Box::pin(ask(modest, "SELECT 1"));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert!(futures_util::poll!(&mut other).is_pending());
    // The free thread goes to the other tenant, although the greedy one has waited longer.
    // Otherwise the greedy one would keep both threads.
    running[0].abort();
    let result = tokio::time::timeout(std::time::Duration::from_secs(60), other).await;
    let result = result.expect("the greedy tenant's third statement went first");
    assert!(result.is_ok(), "{result:?}");
    running[1].abort();
}

#[tokio::test]
async fn a_tenants_cursors_do_not_shut_out_anothers() {
    let folder = tempfile::tempdir().unwrap();
    let databases = on_threads(folder.path(), 2, 2);
    let greedy = TenantId::generate();
    let open = async |tenant| {
        let mut call = call(&databases, Some(tenant), limits(Span::s(600)));
        let cursor = call.view().open("SELECT 1".to_owned(), vec![]).await.unwrap();
        (call, cursor)
    };
    let (mut first, cursor) = open(greedy).await;
    let (_second, _held) = open(greedy).await;
    let mut third = Box::pin(open(greedy));
    let mut other = Box::pin(open(TenantId::generate()));
    for waiting in [&mut third, &mut other] {
        assert!(futures_util::poll!(waiting).is_pending());
    }
    database::HostCursor::drop(&mut first.view(), cursor.unwrap())
        .await
        .unwrap();
    tokio::select! {
        biased;
        (_, cursor) = &mut other => assert!(cursor.is_ok()),
        _ = &mut third => panic!("the greedy tenant's third cursor went first"),
    }
}
