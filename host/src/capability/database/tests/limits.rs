//! Tests of each limit: one below, at, and one above it.

use super::*;
use crate::domain::units::{ByteSize, Span};

const NUMBERS: &str = "CREATE TABLE numbers (n INTEGER PRIMARY KEY, body TEXT);
    WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 20) INSERT INTO numbers SELECT n, 'x' FROM c;";

#[tokio::test]
async fn rows_of_a_result() {
    let mut fixture = fixture(
        Limits {
            sql_rows: 10,
            ..Default::default()
        },
        NUMBERS,
    )
    .await;
    let call = &mut fixture.call;
    for count in [9, 10] {
        let sql = format!("SELECT n FROM numbers LIMIT {count}");
        assert_eq!(call.query(&sql, &[]).await.unwrap().rows.len(), count);
    }
    is_limit(call.query("SELECT n FROM numbers LIMIT 11", &[]).await, "10 rows");
    // A write that returns too many rows changes nothing, alone or in a transaction.
    is_limit(
        call.query("DELETE FROM numbers RETURNING n", &[]).await,
        "10 rows",
    );
    assert_eq!(call.number("SELECT count(*) FROM numbers").await, 20);
    let transaction = call.begin().await.unwrap();
    call.execute_in(&transaction, "DELETE FROM numbers WHERE n = 1")
        .await
        .unwrap();
    is_limit(
        call.query_in(&transaction, "DELETE FROM numbers RETURNING n")
            .await,
        "10 rows",
    );
    call.commit(&transaction).await.unwrap();
    assert_eq!(call.number("SELECT count(*) FROM numbers").await, 19);
}

#[tokio::test]
async fn bytes_of_a_result() {
    let room = size_of::<Value>();
    let limits = Limits {
        sql_bytes: ByteSize(room as u64 + 100),
        ..Default::default()
    };
    let mut fixture = fixture(limits, NUMBERS).await;
    for (length, fits) in [(99, true), (100, true), (101, false)] {
        let result = fixture
            .call
            .query("SELECT $1", &[text(&"x".repeat(length))])
            .await;
        if fits {
            result.unwrap();
        } else {
            is_limit(result, "bytes");
        }
    }
    // Values without content count as well.
    is_limit(
        fixture
            .call
            .query("SELECT NULL, NULL, NULL, NULL, NULL", &[])
            .await,
        "bytes",
    );
}

#[tokio::test]
async fn statements_of_an_invocation() {
    let mut fixture = fixture(
        Limits {
            sql_statements: 3,
            ..Default::default()
        },
        NUMBERS,
    )
    .await;
    let call = &mut fixture.call;
    let transaction = call.begin().await.unwrap();
    call.query_in(&transaction, "SELECT 1").await.unwrap();
    call.commit(&transaction).await.unwrap();
    call.query("SELECT 1", &[]).await.unwrap();
    call.query("SELECT 1", &[]).await.unwrap();
    is_limit(call.query("SELECT 1", &[]).await, "its 3 SQL statements");
    is_limit(
        call.view().open("SELECT 1".to_owned(), vec![]).await.unwrap(),
        "its 3 SQL statements",
    );
    assert_eq!(call.invocation.usage.sql_statements, 3);
    assert_eq!(fixture.another().number("SELECT 1").await, 1);
}

#[tokio::test]
async fn host_calls_of_an_invocation() {
    let mut fixture = fixture(
        Limits {
            host_calls: 2,
            ..Default::default()
        },
        NUMBERS,
    )
    .await;
    let call = &mut fixture.call;
    call.query("SELECT 1", &[]).await.unwrap();
    call.query("SELECT 1", &[]).await.unwrap();
    is_limit(call.query("SELECT 1", &[]).await, "host calls");
    is_limit(call.begin().await, "host calls");
}

#[tokio::test]
async fn what_is_left_of_the_invocation_bounds_a_statement() {
    let mut fixture = fixture(
        Limits {
            wall: Span::ms(150),
            ..Default::default()
        },
        NUMBERS,
    )
    .await;
    let began = tokio::time::Instant::now();
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    is_limit(fixture.call.query(endless, &[]).await, "longer than");
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
    is_limit(fixture.call.query(endless, &[]).await, "longer than");
}
