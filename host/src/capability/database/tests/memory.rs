//! Tests that SQLite's memory is charged to the tenant and bounded.

use super::*;
use crate::domain::units::{ByteSize, Span};

fn limits(sql_memory: ByteSize) -> Limits {
    Limits {
        sql_memory,
        sql_time: Span::s(60),
        wall: Span::s(600),
        sql_statements: 1_000,
        ..Default::default()
    }
}

/// A SELECT of large values that are all in memory at once.
fn large(count: usize) -> String {
    let values: Vec<String> = (0..count).map(|number| format!("$1 || '{number}'")).collect();
    format!("SELECT {}", values.join(", "))
}

#[tokio::test]
async fn a_tenant_whose_memory_is_full_is_told_so_and_nobody_else_notices() {
    let mut fixture = fixture(limits(ByteSize::mib(8)), "CREATE TABLE t (a);").await;
    let mut other = call(&fixture.databases, Some(TenantId::generate()), Limits::default());
    let half = [text(&"a".repeat(500_000))];
    fixture.call.query(&large(4), &half).await.unwrap();
    assert!(fixture.call.invocation.usage.sql_memory_bytes > 2_000_000);
    for _ in 0..3 {
        is_limit(fixture.call.query(&large(40), &half).await, "`sql_memory`");
        assert_eq!(other.number("SELECT 1").await, 1);
        assert_eq!(fixture.call.number("SELECT count(*) FROM t").await, 0);
    }
    assert!(fixture.call.invocation.usage.sql_memory_bytes <= 8 * 1024 * 1024);
    // The whole transaction has ended, and the next one works.
    let transaction = fixture.call.begin().await.unwrap();
    fixture
        .call
        .execute_in(&transaction, "INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    let result = fixture
        .call
        .query_in(&transaction, &large(40).replace("$1", "hex(randomblob(1))"))
        .await;
    assert!(matches!(result, Err(Error::Denied(_))), "{result:?}");
    let wide = format!(
        "WITH RECURSIVE n(x, y) AS (SELECT 1, 'a' UNION ALL SELECT x + 1, y || y FROM n WHERE x < 20)
         SELECT {} FROM n WHERE x = 20",
        (0..40)
            .map(|number| format!("y || {number}"))
            .collect::<Vec<_>>()
            .join(", ")
    );
    is_limit(fixture.call.query_in(&transaction, &wide).await, "`sql_memory`");
    is_invalid(fixture.call.commit(&transaction).await, "rolled back");
    assert_eq!(fixture.call.number("SELECT count(*) FROM t").await, 0);
    assert_eq!(
        fixture
            .call
            .execute("INSERT INTO t VALUES (2)", &[])
            .await
            .unwrap(),
        1
    );
}

#[tokio::test]
async fn memory_comes_back_when_connections_close() {
    let mut fixture = fixture(limits(ByteSize::mib(16)), "CREATE TABLE t (a);").await;
    let tenant = fixture.tenant();
    fixture
        .call
        .execute("INSERT INTO t VALUES ($1)", &[text(&"a".repeat(900_000))])
        .await
        .unwrap();
    fixture.call.query("SELECT count(*) FROM t", &[]).await.unwrap();
    assert!(
        fixture.databases.memory_taken(tenant) > 100_000,
        "{}",
        fixture.databases.memory_taken(tenant)
    );
    until(async || (fixture.databases.held().statements == 0).then_some(())).await;
    fixture.databases.close_idle(tenant);
    // SQLite keeps a few hundred bytes for each file that the process has opened.
    until(async || (fixture.databases.memory_taken(tenant) < 4_096).then_some(())).await;
    assert_eq!(fixture.call.number("SELECT count(*) FROM t").await, 1);
}

/// An attack: many compiled statements on a table with many triggers.
#[tokio::test]
async fn large_statements_do_not_stay_compiled() {
    let body = "UPDATE t SET a = new.a + 1 WHERE a = new.a + 2; ".repeat(300);
    let triggers: String = (0..12)
        .map(|number| format!("CREATE TRIGGER t{number} AFTER INSERT ON t WHEN 0 BEGIN {body} END;"))
        .collect();
    let schema = format!("CREATE TABLE t (a INTEGER); {triggers}");
    let mut fixture = fixture(limits(ByteSize::mib(64)), &schema).await;
    let tenant = fixture.tenant();
    for number in 0..12 {
        let sql = format!("INSERT INTO t VALUES ({number})");
        fixture.call.execute(&sql, &[]).await.unwrap();
    }
    assert!(fixture.call.invocation.usage.sql_memory_bytes > 1_000_000);
    assert!(
        fixture.databases.memory_taken(tenant) < 8 * 1024 * 1024,
        "{}",
        fixture.databases.memory_taken(tenant)
    );
}

#[tokio::test]
async fn small_statements_stay_compiled_as_far_as_they_fit() {
    let mut fixture = fixture(limits(ByteSize::mib(16)), "CREATE TABLE t (a);").await;
    let tenant = fixture.tenant();
    for number in 0..900 {
        let columns = vec![format!("a + {number}"); 20].join(", ");
        fixture
            .call
            .query(&format!("SELECT {columns} FROM t"), &[])
            .await
            .unwrap();
    }
    // 900 would take several MiB; a connection keeps half a MiB of them.
    assert!(
        fixture.databases.memory_taken(tenant) < 4 * 1024 * 1024,
        "{}",
        fixture.databases.memory_taken(tenant)
    );
}

#[tokio::test]
async fn a_schema_leaves_room_for_statements_on_every_connection() {
    let tables = |count: usize| -> String {
        let columns: Vec<String> = (0..250).map(|number| format!("c{number}")).collect();
        (0..count)
            .map(|number| format!("CREATE TABLE t{number} ({});", columns.join(",")))
            .collect()
    };
    let fixture = fixture(limits(ByteSize::mib(8)), "").await;
    for count in [200, 700] {
        let error = fixture
            .migrate(&[migration(1, &tables(count))])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("`sql_memory`"), "{error}");
        assert!(!error.is_host_fault());
    }
    fixture.migrate(&[migration(1, &tables(10))]).await.unwrap();
    assert_eq!(fixture.another().number("SELECT count(*) FROM t9").await, 0);
}

#[tokio::test]
async fn a_statement_with_too_many_instructions_is_told_that() {
    let body = "UPDATE t SET a=1;".repeat(50_000);
    let trigger = format!("CREATE TRIGGER tr AFTER INSERT ON t WHEN 0 BEGIN {body} END;");
    let mut fixture = fixture(limits(ByteSize::mib(512)), "CREATE TABLE t (a INTEGER);").await;
    let create = migration(1, "CREATE TABLE t (a INTEGER);");
    fixture.migrate(&[create, migration(2, &trigger)]).await.unwrap();
    assert_eq!(fixture.call.number("SELECT count(*) FROM t").await, 0);
    let connections = fixture.databases.held().connections;
    let result = fixture.call.execute("INSERT INTO t VALUES (1)", &[]).await;
    is_limit(result, "more instructions");
    assert_eq!(fixture.call.number("SELECT count(*) FROM t").await, 0);
    // The connection is still open.
    assert!(fixture.databases.held().connections >= connections);
}
