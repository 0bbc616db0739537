//! Tests that slow SQL functions stop at the statement's time limit, in statements and in schemas.

use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::domain::units::Span;

type Arguments = fn() -> [Value; 2];

/// Calls that take minutes with the given long arguments for `a` and `b`.
const CALLS: &[(&str, Arguments)] = &[
    ("trim(a, b)", long),
    ("ltrim(a, b)", long),
    ("rtrim(a, b)", long),
    ("unhex(replace(a, 'b', '-'), b || '-')", long),
    ("json_patch(a, b)", objects),
];

/// Each place of an expression, with a statement that makes SQLite evaluate it with the parameters
/// `$1` and `$2`.
const PLACES: &[(&str, &str)] = &[
    ("CREATE TABLE t (a TEXT, b TEXT);", "SELECT CALL FROM (SELECT $1 AS a, $2 AS b)"),
    (
        "CREATE TABLE t (a TEXT, b TEXT); CREATE VIEW v AS SELECT CALL AS c FROM t;",
        "INSERT INTO t VALUES ($1, $2)",
    ),
    (
        "CREATE TABLE t (a TEXT, b TEXT, c TEXT GENERATED ALWAYS AS (CALL) STORED);",
        "INSERT INTO t (a, b) VALUES ($1, $2)",
    ),
    (
        "CREATE TABLE t (a TEXT, b TEXT, c AS (CALL), d AS (CALL), e AS (CALL || d));",
        "INSERT INTO t (a, b) VALUES ($1, $2) RETURNING e",
    ),
    (
        "CREATE TABLE t (a TEXT, b TEXT, CHECK (length(CALL) >= 0));",
        "INSERT INTO t (a, b) VALUES ($1, $2)",
    ),
    (
        "CREATE TABLE t (a TEXT, b TEXT); CREATE INDEX i ON t (CALL);",
        "INSERT INTO t (a, b) VALUES ($1, $2)",
    ),
    (
        "CREATE TABLE t (a TEXT, b TEXT); CREATE INDEX i ON t (a) WHERE CALL <> '';",
        "INSERT INTO t (a, b) VALUES ($1, $2)",
    ),
    (
        "CREATE TABLE t (a TEXT, b TEXT); CREATE TABLE u (c TEXT);
         CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO u SELECT CALL FROM (SELECT new.a AS a, new.b AS b); END;",
        "INSERT INTO t (a, b) VALUES ($1, $2)",
    ),
];

fn impatient() -> Limits {
    Limits {
        sql_time: Span::ms(100),
        sql_statements: 1_000,
        ..Default::default()
    }
}

/// A text in which each character is the last one of a long set.
fn long() -> [Value; 2] {
    [
        text(&"b".repeat(200_000)),
        text(&format!("{}b", "c".repeat(100_000))),
    ]
}

/// Objects that have no label in common.
fn objects() -> [Value; 2] {
    ['a', 'b'].map(|letter| {
        let members: Vec<String> = (0..30_000)
            .map(|number| format!("\"{letter}{number}\":1"))
            .collect();
        text(&format!("{{{}}}", members.join(",")))
    })
}

/// Asserts that the statement fails with a time limit, and that its work stops.
async fn ends_in_time(fixture: &mut Fixture, sql: &str, parameters: &[Value], what: &str) {
    let began = Instant::now();
    let result = fixture.call.query(sql, parameters).await;
    let took = began.elapsed();
    assert!(
        matches!(&result, Err(Error::Limit(message)) if message.contains("took longer")),
        "{what}: {result:?}"
    );
    assert!(took < Duration::from_secs(3), "{what} took {took:?}");
    let databases = fixture.databases.clone();
    until(async || (databases.held().statements == 0).then_some(())).await;
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{what} went on for {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn each_function_ends_in_each_place() {
    for (call, long) in CALLS {
        for (schema, sql) in PLACES {
            let (schema, sql) = (schema.replace("CALL", call), sql.replace("CALL", call));
            let what = format!("{call} in {schema} by {sql}");
            let mut fixture = fixture(impatient(), &schema).await;
            if schema.contains("VIEW") {
                call_of(&fixture).execute(&sql, &long()).await.unwrap();
                ends_in_time(&mut fixture, "SELECT c FROM v", &[], &what).await;
                continue;
            }
            ends_in_time(&mut fixture, &sql, &long(), &what).await;
            // Short arguments are fast in the same place.
            let short = [text("1"), text("1")];
            let mut patient = call_of(&fixture);
            patient
                .query(&sql, &short)
                .await
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        }
    }
}

/// A call with enough time.
fn call_of(fixture: &Fixture) -> Call {
    let limits = Limits {
        sql_time: Span::s(60),
        wall: Span::s(600),
        ..Default::default()
    };
    super::call(&fixture.databases, Some(fixture.tenant()), limits)
}

#[tokio::test]
async fn a_default_ends_as_well() {
    let schema = "CREATE TABLE t (id INTEGER, a TEXT DEFAULT (trim(
        replace(hex(zeroblob(200000)), '0', 'b'), replace(hex(zeroblob(100000)), '0', 'c') || 'b')));";
    let mut fixture = fixture(impatient(), schema).await;
    ends_in_time(&mut fixture, "INSERT INTO t (id) VALUES (1)", &[], "DEFAULT").await;
}

/// A row with 180 generated columns, each of which takes seconds.
#[tokio::test]
async fn a_row_with_many_generated_columns_ends() {
    let columns: String = (0..180)
        .map(|number| format!(", c{number} AS (trim(a, b))"))
        .collect();
    let schema = format!("CREATE TABLE t (a TEXT, b TEXT{columns});");
    let mut fixture = fixture(impatient(), &schema).await;
    ends_in_time(
        &mut fixture,
        "INSERT INTO t (a, b) VALUES ($1, $2)",
        &long(),
        "180 columns",
    )
    .await;
    let insert = "INSERT INTO t (a, b) VALUES ('bab', 'b') RETURNING c0, c179";
    let short = call_of(&fixture).query(insert, &[]).await.unwrap();
    assert!(
        matches!(&short.rows[0][..], [Value::Text(first), Value::Text(last)] if first == "a" && last == "a")
    );
}

/// LIKE is built in and does not check the clock. Stopping the connection ends the calls that
/// follow.
#[tokio::test]
async fn many_patterns_in_one_row_end() {
    // Seventy times a tenth of a second.
    let likes = vec!["a GLOB b"; 70].join(" OR ");
    let schema = format!(
        "CREATE TABLE t (a TEXT, b TEXT, CHECK (({likes}) IS NOT 5)); CREATE TABLE u (a TEXT, b TEXT);"
    );
    let mut fixture = fixture(impatient(), &schema).await;
    let parameters = [
        text(&"a".repeat(900_000)),
        text(&format!("*{}b", "[a]".repeat(16))),
    ];
    call_of(&fixture)
        .execute("INSERT INTO u VALUES ($1, $2)", &parameters)
        .await
        .unwrap();
    for (sql, parameters) in [
        ("INSERT INTO t VALUES ($1, $2)".to_owned(), &parameters[..]),
        (format!("SELECT {likes} FROM u"), &[]),
    ] {
        let began = Instant::now();
        ends_in_time(&mut fixture, &sql, parameters, "GLOB").await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    // The stopped connection accepts patterns again.
    let mut patient = call_of(&fixture);
    for _ in 0..3 {
        assert_eq!(
            patient.number("SELECT count(*) FROM u WHERE a LIKE 'a%'").await,
            1
        );
    }
}

/// Code without jumps allocates for its values, and allocations fail once the time is over.
#[tokio::test]
async fn many_functions_in_one_row_end() {
    let calls = vec!["length(json(a))"; 60].join(" + ");
    let schema = format!("CREATE TABLE t (a TEXT, b AS ({calls}));");
    let mut fixture = fixture(impatient(), &schema).await;
    let list = format!("[{}1]", "1,".repeat(450_000));
    ends_in_time(
        &mut fixture,
        "INSERT INTO t VALUES ($1)",
        &[text(&list)],
        "a generated column",
    )
    .await;
}
