//! Tests of deep nesting of every kind. A stack overflow would end the process, and these tests
//! with it.

use super::*;
use crate::domain::units::Span;

fn patient() -> Limits {
    Limits {
        sql_time: Span::s(60),
        wall: Span::s(600),
        sql_statements: 1_000,
        ..Default::default()
    }
}

/// Asserts that the statement ran, or failed with a limit or as invalid.
#[track_caller]
fn lived<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    assert!(
        matches!(result, Ok(_) | Err(Error::Limit(_) | Error::Invalid(_))),
        "{what}: {result:?}"
    );
}

#[tokio::test]
async fn expressions_nest_as_deeply_as_they_may_and_deeper() {
    let mut fixture = fixture(patient(), "CREATE TABLE t (a, b);").await;
    let shapes: &[(&str, &str, &str)] = &[
        ("abs(", "a", ")"),
        ("coalesce(a, ", "b", ")"),
        ("CASE WHEN a THEN ", "b", " END"),
        ("CASE a WHEN b THEN ", "b", " END"),
        ("NOT ", "a", ""),
        ("- ", "a", ""),
        ("(", "a", ")"),
        ("a IN (b, ", "1", ")"),
        ("a BETWEEN b AND (", "1", ")"),
        ("a AND (b OR (", "a", "))"),
        ("(a, b) = (1, (", "1", "))"),
        ("a || (", "b", ")"),
        ("a LIKE (", "b", ")"),
        ("CAST(", "a", " AS TEXT)"),
        ("(SELECT a + ", "1", ")"),
        ("(SELECT max(b) FROM t WHERE a = ", "1", ")"),
        ("EXISTS (SELECT 1 FROM t WHERE ", "a", ")"),
        ("json_array(a, ", "b", ")"),
    ];
    for (begin, middle, end) in shapes {
        for depth in [50, 240, 490, 1_500] {
            let deep = format!("{}{middle}{}", begin.repeat(depth), end.repeat(depth));
            for sql in [
                format!("SELECT {deep} FROM t"),
                format!("SELECT 1 FROM t WHERE {deep} GROUP BY {deep} ORDER BY {deep}"),
                format!("SELECT sum(a) OVER (PARTITION BY {deep}) FROM t"),
                format!("UPDATE t SET a = {deep} WHERE {deep}"),
                format!("SELECT {deep} FROM t UNION SELECT {deep} FROM t"),
            ] {
                lived(begin, fixture.call.query(&sql, &[]).await);
            }
        }
    }
    for term in ["UNION ALL", "UNION", "EXCEPT", "INTERSECT"] {
        let terms = format!(" {term} SELECT b FROM t").repeat(499);
        lived(
            term,
            fixture.call.query(&format!("SELECT a FROM t{terms}"), &[]).await,
        );
        let sql = format!("SELECT * FROM (SELECT a FROM t{terms}) WHERE a > 1 ORDER BY 1");
        lived(term, fixture.call.query(&sql, &[]).await);
    }
}

/// Schemas whose objects depend on each other, with a statement that makes SQLite follow the chain.
#[tokio::test]
async fn what_leads_to_each_other_does_so_as_far_as_the_stack_allows() {
    let generated = |columns: usize, depth: usize| {
        let columns: String = (1..columns)
            .map(|number| {
                let (begin, end) = ("abs(".repeat(depth), ")".repeat(depth));
                format!(", c{number} AS ({begin}c{}{end})", number - 1)
            })
            .collect();
        format!("CREATE TABLE t0 (c0{columns});")
    };
    let chain = |count: usize, link: &dyn Fn(usize) -> String| -> String { (0..count).map(link).collect() };
    let triggers = |count: usize| {
        let tables = chain(count + 1, &|number| format!("CREATE TABLE t{number} (c0);"));
        let triggers = chain(count, &|number| {
            format!(
                "CREATE TRIGGER g{number} AFTER INSERT ON t{number} WHEN 0 BEGIN INSERT INTO t{} VALUES (1); END;",
                number + 1
            )
        });
        format!("{tables}{triggers}")
    };
    let keys = |count: usize| {
        let tables = chain(count, &|number| {
            format!(
                "CREATE TABLE t{} (c0 PRIMARY KEY REFERENCES t{number} ON DELETE CASCADE ON UPDATE CASCADE);",
                number + 1
            )
        });
        format!("CREATE TABLE t0 (c0 PRIMARY KEY);{tables}")
    };
    for (schema, runs) in [
        (generated(100, 1), true),
        (generated(250, 90), false),
        (generated(60, 400), false),
        (generated(1_900, 1), false),
        (triggers(100), true),
        (triggers(3_000), false),
        (keys(100), true),
        (keys(3_000), false),
    ] {
        let what = &schema[..60];
        let fixture = fixture(patient(), "").await;
        if let Err(error) = fixture.migrate(&[migration(1, &schema)]).await {
            assert!(!runs && !error.is_host_fault(), "{what}: {error}");
            continue;
        }
        for sql in [
            "INSERT INTO t0 (c0) VALUES (1)",
            "UPDATE t0 SET c0 = 2",
            "SELECT * FROM t0",
            "DELETE FROM t0",
        ] {
            let result = fixture.another().query(sql, &[]).await;
            assert!(!runs || result.is_ok(), "{what} by {sql}: {result:?}");
            lived(what, result);
        }
    }
}
