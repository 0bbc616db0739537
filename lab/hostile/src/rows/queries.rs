//! E12 and E13: queries that are expensive to plan, and statements that end a transaction.

use std::time::Duration;

use anyhow::ensure;
use rig::clock::{now, spoken};
use rig::guest::Recipe;
use serde_json::json;

use super::guest::attacker;
use super::sqlite::run;
use crate::catalogue::{Row, Seen};
use crate::stage::Stage;

pub const ROWS: [Row; 2] = [
    Row {
        id: "E12",
        tried: "queries that are dear to plan, to sort and to describe",
        run: e12,
    },
    Row {
        id: "E13",
        tried: "conflict clauses, triggers and cursors that end transactions",
        run: e13,
    },
];

fn e12(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "e12", &stage.guests.database)?;
    tenant.limit(&json!({ "sql_time": "300ms" }))?;
    let list = |count: usize, each: &dyn Fn(usize) -> String, between: &str| -> String {
        (0..count).map(each).collect::<Vec<_>>().join(between)
    };
    let numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000000)";
    let statements = [
        format!(
            "SELECT count(*) FROM {}",
            list(60, &|at| format!("notes AS t{at}"), ", ")
        ),
        format!(
            "SELECT 1 FROM notes AS a WHERE a.id IN ({})",
            list(17_000, &|at| at.to_string(), ", ")
        ),
        format!("VALUES {}", list(9_000, &|at| format!("({at})"), ", ")),
        format!("SELECT {}", list(1_500, &|at| at.to_string(), " + ")),
        format!("SELECT {}1{}", "(".repeat(900), ")".repeat(900)),
        format!("{numbers} SELECT DISTINCT hex(x) FROM n ORDER BY 1 DESC"),
        format!("{numbers} SELECT count(*) OVER (ORDER BY x) FROM n"),
        format!("{numbers} SELECT group_concat(x) FROM n"),
        format!("{numbers} SELECT count(*) FROM n AS a JOIN n AS b"),
        "SELECT count(*) FROM json_each('[1,2,3]') AS a, json_each('[1,2,3]') AS b, json_tree('{\"a\":[1]}')"
            .to_owned(),
        "EXPLAIN SELECT * FROM notes".to_owned(),
        "EXPLAIN QUERY PLAN SELECT * FROM notes ORDER BY body".to_owned(),
    ];
    let mut slowest = Duration::ZERO;
    for sql in &statements {
        let begin = now();
        let answer = run(&tenant, "/query", sql)?;
        slowest = slowest.max(begin.elapsed());
        ensure!(
            answer["ok"].is_object() || answer["error"].is_string(),
            "{sql:.80}: {answer}"
        );
        ensure!(
            begin.elapsed() < Duration::from_secs(6),
            "{sql:.80} took {:?}",
            begin.elapsed()
        );
    }
    let rows = run(&tenant, "/query", "SELECT count(*) FROM notes")?;
    ensure!(rows["ok"]["rows"] == json!([[1]]), "{rows}");
    Ok(format!(
        "{} tried, the slowest took {}",
        statements.len(),
        spoken(slowest)
    ))
}

fn e13(stage: &Stage) -> Seen {
    let tenant = stage.plain()?.tenant("e13")?;
    let tables = [
        "CREATE TABLE u (k INTEGER PRIMARY KEY, v); INSERT INTO u VALUES (1, 'a')",
        "CREATE TRIGGER t BEFORE INSERT ON u WHEN new.k = 9 BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
    ];
    tenant.deploy(&Recipe::of(test_artifacts::DATABASE)?.database(&tables).guest())?;
    let transaction = |statements: &[&str], end: &str| {
        tenant
            .post(
                "database",
                "/transaction",
                &json!({ "statements": statements, "end": end }),
            )?
            .is("200")?
            .body()
    };
    // The clause ends the transaction; the next statement must not run outside of one.
    for clause in ["ROLLBACK", "ABORT", "FAIL"] {
        let conflict = format!("INSERT OR {clause} INTO u VALUES (1, 'b')");
        transaction(
            &[
                "INSERT INTO u VALUES (2, 'x')",
                &conflict,
                "INSERT INTO u VALUES (3, 'y')",
            ],
            "commit",
        )?;
        let rows = run(&tenant, "/query", "SELECT count(*) FROM u")?;
        ensure!(rows["ok"]["rows"] == json!([[1]]), "{clause} left {rows}");
    }
    transaction(
        &[
            "INSERT INTO u VALUES (2, 'x')",
            "INSERT INTO u VALUES (9, 'x')",
            "INSERT INTO u VALUES (3, 'y')",
        ],
        "commit",
    )?;
    let rows = run(&tenant, "/query", "SELECT count(*) FROM u")?;
    ensure!(rows["ok"]["rows"] == json!([[1]]), "RAISE(ROLLBACK) left {rows}");
    let upserts =
        "INSERT INTO u SELECT 1, 'c' WHERE true ON CONFLICT (k) DO UPDATE SET v = excluded.v RETURNING v";
    let answer = run(&tenant, "/query", upserts)?;
    ensure!(
        answer["ok"].is_object() || answer["error"].is_string(),
        "{answer}"
    );
    let again = transaction(&["INSERT INTO u VALUES (2, 'x')"], "commit")?;
    ensure!(again["ok"].is_array(), "{again}");
    Ok("a transaction that was ended from inside keeps nothing, and the next one works".to_owned())
}
