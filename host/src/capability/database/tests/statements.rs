//! Tests of values, parameters, one statement per call, and the typed errors.

use super::super::ConstraintKind;
use super::*;

const ITEMS: &str = "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, price REAL,
     active INTEGER CHECK (active IN (0, 1)), data BLOB, parent INTEGER REFERENCES items (id));";

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let mut fixture = fixture(Limits::default(), ITEMS).await;
    let call = &mut fixture.call;
    let changed = call
        .execute(
            "INSERT INTO items (id, name, price, active, data) VALUES ($1, $2, $3, $4, $5)",
            &[
                Value::Integer(7),
                text("ä"),
                Value::Real(1.5),
                Value::Boolean(true),
                Value::Blob(vec![0, 255]),
            ],
        )
        .await;
    assert_eq!(changed.unwrap(), 1);
    let rows = call
        .query("SELECT * FROM items WHERE id = $1", &[Value::Integer(7)])
        .await
        .unwrap();
    assert_eq!(rows.columns, ["id", "name", "price", "active", "data", "parent"]);
    let shown = format!("{:?}", rows.rows);
    assert!(
        shown.contains("Integer(7)") && shown.contains("Text(\"ä\")") && shown.contains("Real(1.5)"),
        "{shown}"
    );
    assert!(
        shown.contains("Integer(1)") && shown.contains("Blob([0, 255])") && shown.contains("Null"),
        "{shown}"
    );
    assert_eq!(call.invocation.usage.sql_statements, 2);
    assert_eq!(call.invocation.usage.sql_rows, 1);
    assert_eq!(call.invocation.usage.host_calls, 2);
}

#[tokio::test]
async fn parameters_go_by_their_number_in_whatever_order_they_stand() {
    let mut fixture = fixture(Limits::default(), "").await;
    let rows = fixture
        .call
        .query("SELECT $2, $1, $2", &[text("a"), text("b")])
        .await
        .unwrap();
    assert_eq!(
        format!("{:?}", rows.rows),
        "[[Text(\"b\"), Text(\"a\"), Text(\"b\")]]".replace("Text", "Value::Text")
    );
}

#[tokio::test]
async fn a_wrong_number_or_kind_of_parameters_is_invalid() {
    let mut fixture = fixture(Limits::default(), "").await;
    let call = &mut fixture.call;
    for (sql, given) in [
        ("SELECT 1", 1),
        ("SELECT $1", 0),
        ("SELECT $1", 2),
        ("SELECT $2", 1),
        ("SELECT $2", 2),
        ("SELECT $1, $3", 3),
    ] {
        is_invalid(
            call.query(sql, &vec![Value::Null; given]).await,
            "values were given",
        );
    }
    for sql in [
        "SELECT ?",
        "SELECT ?1",
        "SELECT :a",
        "SELECT @a",
        "SELECT $a",
        "SELECT $01",
        "SELECT $1::text",
        "SELECT $0",
    ] {
        is_invalid(call.query(sql, &[Value::Null]).await, "");
    }
}

#[tokio::test]
async fn one_call_runs_one_statement() {
    let mut fixture = fixture(Limits::default(), ITEMS).await;
    let call = &mut fixture.call;
    assert_eq!(call.number("SELECT 1; -- the end\n /* really */ ; ").await, 1);
    is_invalid(call.query("SELECT 1; SELECT 2", &[]).await, "one statement");
    is_invalid(
        call.execute("DELETE FROM items; DELETE FROM items", &[]).await,
        "one statement",
    );
    for sql in ["", "  ", "-- nothing", ";"] {
        is_invalid(call.query(sql, &[]).await, "no statement");
    }
    is_invalid(call.query("SELECT 1\0; DROP TABLE items", &[]).await, "NUL");
    is_invalid(call.query("SELECT 1;\0", &[]).await, "NUL");
}

#[tokio::test]
async fn mistakes_are_invalid_and_say_where() {
    let mut fixture = fixture(Limits::default(), ITEMS).await;
    let call = &mut fixture.call;
    is_invalid(call.query("SELEKT 1", &[]).await, "at byte 0");
    is_invalid(
        call.query("SELECT nope FROM items", &[]).await,
        "no such column: nope",
    );
    is_invalid(
        call.query("SELECT 1 FROM nowhere", &[]).await,
        "no such table: nowhere",
    );
    is_invalid(
        call.query("SELECT \"nope\" FROM items", &[]).await,
        "no such column",
    );
    is_invalid(call.query("SELECT CAST(x'ff' AS TEXT)", &[]).await, "not UTF-8");
}

#[tokio::test]
async fn constraints_have_a_kind_and_a_name() {
    let mut fixture = fixture(Limits::default(), ITEMS).await;
    let call = &mut fixture.call;
    call.execute("INSERT INTO items (id, name) VALUES (1, 'a')", &[])
        .await
        .unwrap();
    for (values, kind, name) in [
        ("(2, 'a', 1, NULL)", ConstraintKind::Unique, "items.name"),
        ("(1, 'b', 1, NULL)", ConstraintKind::Unique, "items.id"),
        ("(2, NULL, 1, NULL)", ConstraintKind::NotNull, "items.name"),
        ("(2, 'b', 9, NULL)", ConstraintKind::Check, "active IN (0, 1)"),
        (
            "(2, 'b', 1, 99)",
            ConstraintKind::ForeignKey,
            "FOREIGN KEY constraint failed",
        ),
    ] {
        let sql = format!("INSERT INTO items (id, name, active, parent) VALUES {values}");
        match call.execute(&sql, &[]).await {
            Err(Error::Constraint(violation)) => {
                assert_eq!((violation.kind, violation.name.as_str()), (kind, name));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn writes_with_returning_answer_rows_through_query() {
    let mut fixture = fixture(Limits::default(), ITEMS).await;
    let call = &mut fixture.call;
    let rows = call
        .query("INSERT INTO items (name) VALUES ('a'), ('b') RETURNING id", &[])
        .await
        .unwrap();
    assert_eq!(rows.rows.len(), 2);
    assert_eq!(
        call.execute("UPDATE items SET price = 1 RETURNING id", &[])
            .await
            .unwrap(),
        2
    );
    assert_eq!(
        call.execute(
            "WITH n(x) AS (VALUES ('c')) INSERT INTO items (name) SELECT x FROM n",
            &[]
        )
        .await
        .unwrap(),
        1
    );
    assert_eq!(call.execute("SELECT 1", &[]).await.unwrap(), 0);
    assert_eq!(
        call.execute("DELETE FROM items WHERE id = 99", &[])
            .await
            .unwrap(),
        0
    );
    assert!(
        call.query("DELETE FROM items", &[])
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    assert_eq!(call.number("SELECT count(*) FROM items").await, 0);
}

#[tokio::test]
async fn without_a_grant_there_is_no_database() {
    let mut fixture = fixture(Limits::default(), "").await;
    std::sync::Arc::make_mut(&mut fixture.call.invocation.active).grants = Default::default();
    let call = &mut fixture.call;
    is_unavailable(
        call.query("SELECT 1", &[]).await,
        "no grant for the database; add [database]",
    );
    is_unavailable(call.execute("SELECT 1", &[]).await, "no grant");
    is_unavailable(call.begin().await, "no grant");
    is_unavailable(
        call.view().open("SELECT 1".to_owned(), vec![]).await.unwrap(),
        "no grant",
    );
    assert!(!fixture.file().exists());
}

#[tokio::test]
async fn files_are_the_hosts_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut fixture = fixture(Limits::default(), ITEMS).await;
    fixture
        .call
        .execute("INSERT INTO items (name) VALUES ('a')", &[])
        .await
        .unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let mut file = fixture.file().into_os_string();
        file.push(suffix);
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600,
            "{file:?}"
        );
    }
}
