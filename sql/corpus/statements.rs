//! Statements, on the schema of the corpus.

use super::{Case, Kind, V, Wanted};
use Kind::*;

/// Every statement of the corpus, with its result or its error.
pub fn cases() -> Vec<Case> {
    [values(), parameters(), limits(), refusals(), texts(), changes()].concat()
}

fn case(sql: impl Into<String>, params: Vec<V>, wanted: Wanted) -> Case {
    Case {
        sql: sql.into(),
        params,
        wanted,
    }
}

fn row(sql: impl Into<String>, params: Vec<V>, row: Vec<V>) -> Case {
    case(sql, params, Wanted::Rows(vec![row]))
}

fn fails(sql: impl Into<String>, kind: Kind, part: &'static str) -> Case {
    case(sql, vec![], Wanted::Fails(kind, part))
}

fn int(number: i64) -> V {
    V::Integer(number)
}

fn text(text: &str) -> V {
    V::Text(text.to_owned())
}

fn repeated(piece: &str, count: usize) -> String {
    vec![piece; count].join(",")
}

fn values() -> Vec<Case> {
    let all = vec![
        V::Null,
        V::Boolean(true),
        int(i64::MIN),
        V::Real(1.5),
        text("ä\0b"),
        V::Blob(vec![0, 255]),
    ];
    let back = vec![
        V::Null,
        int(1),
        int(i64::MIN),
        V::Real(1.5),
        text("ä\0b"),
        V::Blob(vec![0, 255]),
    ];
    let nan = vec![int(1), V::Real(f64::NAN)];
    vec![
        row("SELECT $1, $2, $3, $4, $5, $6", all, back),
        row(
            "SELECT active, price FROM items WHERE id = 1",
            vec![],
            vec![int(1), text("10.10")],
        ),
        row(
            "SELECT price FROM items WHERE id = 2",
            vec![],
            vec![text("00123")],
        ),
        row(
            "SELECT $1",
            vec![V::Real(f64::INFINITY)],
            vec![V::Real(f64::INFINITY)],
        ),
        case(
            "SELECT $1, $2",
            nan.clone(),
            Wanted::Fails(Invalid, "`$2` is not a number"),
        ),
        case(
            "UPDATE items SET weight = $2 WHERE id = $1",
            nan,
            Wanted::Fails(Invalid, "NaN"),
        ),
        row(
            "SELECT 9223372036854775807 + 1",
            vec![],
            vec![V::Real(9_223_372_036_854_775_808.0)],
        ),
        fails(
            "SELECT sum(n) FROM (SELECT 9223372036854775807 AS n UNION ALL SELECT 1)",
            Invalid,
            "integer overflow",
        ),
        row("SELECT 1 / 0, 1 IN (1, NULL)", vec![], vec![V::Null, int(1)]),
        row("SELECT json('{\"a\":[1]}') ->> '$.a[0]'", vec![], vec![int(1)]),
        row(
            "SELECT count(*) FROM items WHERE id IN (SELECT value FROM json_each($1))",
            vec![text("[1, 2, 3]")],
            vec![int(2)],
        ),
        fails("SELECT json_extract('{', '$')", Invalid, "malformed JSON"),
        fails("SELECT CAST(x'ff' AS TEXT)", Invalid, "not UTF-8"),
        row(
            "SELECT id, id AS id FROM items WHERE id = 1",
            vec![],
            vec![int(1), int(1)],
        ),
        // ASCII only.
        row(
            "SELECT lower('Ä'), upper('ä'), 'ä' LIKE 'Ä', 'ä' = 'Ä' COLLATE NOCASE",
            vec![],
            vec![text("Ä"), text("ä"), int(0), int(0)],
        ),
        row(
            "SELECT 'A' LIKE 'a', 'A' = 'a' COLLATE NOCASE",
            vec![],
            vec![int(1), int(1)],
        ),
        row(
            "SELECT datetime('2026-07-01 12:00', 'localtime'), datetime('2026-07-01 12:00', 'utc')",
            vec![],
            vec![text("2026-07-01 12:00:00"), text("2026-07-01 12:00:00")],
        ),
    ]
}

fn parameters() -> Vec<Case> {
    let two = || vec![text("a"), text("b")];
    let mut cases = vec![
        row("SELECT $2 || $1 || $2", two(), vec![text("bab")]),
        fails("SELECT $1", Invalid, "0 values were given"),
        case("SELECT 1", two(), Wanted::Fails(Invalid, "2 values were given")),
        case("SELECT $1, $3", two(), Wanted::Fails(Invalid, "uses `$3`")),
        case("SELECT $2", two(), Wanted::Fails(Invalid, "values were given")),
    ];
    for sql in [
        "SELECT ?",
        "SELECT ?1",
        "SELECT :a",
        "SELECT @a",
        "SELECT $a",
        "SELECT $01",
        "SELECT $0",
    ] {
        cases.push(case(
            sql,
            vec![V::Null],
            Wanted::Fails(Invalid, "is not a parameter"),
        ));
    }
    // SQLite compiles these again when a value is bound.
    for pattern in ["%a%", "C%", "%"] {
        for sql in [
            "SELECT trim(name) FROM items WHERE name LIKE $1",
            "SELECT instr(name, 'a') FROM items WHERE lower(name) LIKE $1 ESCAPE '!' OR name GLOB $1",
            "SELECT name FROM names WHERE name LIKE $1",
            "SELECT unhex(id) FROM items WHERE name = $1 OR name IN ($1, 'b')",
            "UPDATE items SET name = replace(name, 'q', 'r') WHERE name LIKE $1 RETURNING name",
        ] {
            cases.push(case(sql, vec![text(pattern)], Wanted::Works));
        }
    }
    cases
}

fn limits() -> Vec<Case> {
    let blob = |bytes| vec![V::Blob(vec![0; bytes])];
    let numbers = |count: usize| {
        let names: Vec<String> = (1..=count).map(|number| format!("${number}")).collect();
        format!("SELECT 1 IN ({})", names.join(","))
    };
    let pattern = |bytes| vec![text(&"a".repeat(bytes))];
    let like = "SELECT name LIKE $1 FROM items WHERE id = 1";
    let longest = |bytes: usize| format!("SELECT 1 -- {}", "a".repeat(bytes - 12));
    let doubled: String = (1..40)
        .map(|index| format!(", c{index} AS (SELECT a.x FROM c{0} a, c{0} b)", index - 1))
        .collect();
    let mut cases = vec![
        row(like, pattern(50), vec![int(0)]),
        case(
            like,
            pattern(51),
            Wanted::Fails(Limit, "a pattern has at most 50 bytes"),
        ),
        case(
            "SELECT name GLOB $1 FROM items",
            pattern(51),
            Wanted::Fails(Limit, "at most 50 bytes"),
        ),
        // The size of a row has nothing to do with the functions beside it.
        case(
            "UPDATE items SET data = $1, name = trim(name) WHERE id = 1",
            blob(900_000),
            Wanted::Changed(1),
        ),
        case(numbers(5_000), vec![int(5); 5_000], Wanted::Works),
        case("SELECT length($1)", blob(1024 * 1024), Wanted::Works),
        case(
            "SELECT length($1)",
            blob(1024 * 1024 + 1),
            Wanted::Fails(Limit, "a value or a row is too large"),
        ),
        fails(
            format!("WITH c0 AS (SELECT 1 AS x){doubled} SELECT x FROM c39"),
            Limit,
            "copied too often",
        ),
        fails(
            format!("SELECT 1 IN ({})", repeated("?", 32_767)),
            Limit,
            "at most 32766 parameters",
        ),
    ];
    for (works, fails_with, part) in [
        (
            format!("SELECT 1{}", " AND 1".repeat(400)),
            format!("SELECT 1{}", " AND 1".repeat(600)),
            "at most 500 levels",
        ),
        (
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(499)),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(500)),
            "at most 500 terms",
        ),
        (
            format!("SELECT coalesce({})", repeated("1", 1_000)),
            format!("SELECT coalesce({})", repeated("1", 1_001)),
            "at most 1000 arguments",
        ),
        (
            format!("SELECT json_object({})", repeated("'a',1", 17)),
            format!("SELECT json_object({})", repeated("'a',1", 501)),
            "at most 1000 arguments",
        ),
        (
            format!("SELECT {}", repeated("1", 2_000)),
            format!("SELECT {}", repeated("1", 2_001)),
            "at most 2000 columns",
        ),
        (
            format!("SELECT 1 FROM {} LIMIT 1", repeated("notes", 20)),
            format!("SELECT 1 FROM {}", repeated("notes", 65)),
            "at most 64 tables",
        ),
        (longest(102_400), longest(102_401), "at most 102400 bytes"),
    ] {
        cases.push(case(works, vec![], Wanted::Works));
        cases.push(fails(fails_with, Limit, part));
    }
    cases
}

fn refusals() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, part, statements) in [
        (
            Denied,
            "PRAGMA",
            &[
                "PRAGMA foreign_keys",
                "PRAGMA journal_mode = DELETE",
                "SELECT * FROM pragma_table_info('items')",
                "SELECT * FROM pragma_database_list",
            ][..],
        ),
        (
            Denied,
            "`begin` of the database interface",
            &["BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT a", "RELEASE a"],
        ),
        (
            Denied,
            "ATTACH",
            &["ATTACH ':memory:' AS x", "DETACH main", "VACUUM"],
        ),
        (
            Denied,
            "temporary tables",
            &["CREATE TEMP TABLE t (a)", "CREATE TEMP VIEW v AS SELECT 1"],
        ),
        (
            Denied,
            "only in migrations",
            &[
                "CREATE TABLE t (a)",
                "CREATE TABLE IF NOT EXISTS t (a)",
                "CREATE INDEX i ON items (price)",
                "CREATE VIEW v AS SELECT 1",
                "CREATE TRIGGER t AFTER INSERT ON items BEGIN SELECT 1; END",
                "DROP TABLE notes",
                "DROP VIEW names",
                "DROP INDEX by_name",
                "ALTER TABLE items ADD COLUMN x",
                "ALTER TABLE items RENAME TO things",
                "REINDEX by_name",
                "ANALYZE",
                "ANALYZE items",
                "DELETE FROM sqlite_sequence",
                "DELETE FROM sqlite_stat1",
            ],
        ),
        (
            Denied,
            "",
            &[
                "CREATE VIRTUAL TABLE f USING fts5(a)",
                "CREATE VIRTUAL TABLE f USING rtree(a, b, c)",
            ],
        ),
        (
            Denied,
            "make the value in the plugin",
            &[
                "SELECT printf('%d', 1)",
                "SELECT format('%d', 1)",
                "SELECT zeroblob(1)",
                "SELECT hex(randomblob(4))",
            ],
        ),
        (
            Denied,
            "RETURNING",
            &[
                "SELECT last_insert_rowid()",
                "SELECT changes()",
                "SELECT total_changes()",
            ],
        ),
        (
            Denied,
            "plugins may not call",
            &[
                "SELECT soundex('a')",
                "SELECT sqlite_rename_table('main', 'a', 'b', 'c', 'd', 'e', 0)",
                "SELECT sqlite_version()",
                "SELECT sqlite_source_id()",
                "SELECT json_pretty('1')",
                "SELECT sqlite_compileoption_get(0)",
                "SELECT fts3_tokenizer('x')",
                "SELECT load_extension('x')",
            ],
        ),
        (Denied, "full-text search", &["SELECT name MATCH 'x' FROM items"]),
        (
            Invalid,
            "no regular expressions in SQL: use LIKE",
            &["SELECT name REGEXP '^C' FROM items"],
        ),
        (Invalid, "or pass the time", &["SELECT now()"]),
        (
            Denied,
            "the host's own",
            &[
                "SELECT * FROM _mortise_migrations",
                "DELETE FROM _MORTISE_migrations",
                "SELECT 1 FROM items WHERE EXISTS (SELECT 1 FROM _mortise_migrations)",
            ],
        ),
        (
            Denied,
            "may not use `sqlite_sequence`",
            &[
                "SELECT seq FROM sqlite_sequence",
                "SELECT (SELECT max(seq) FROM sqlite_sequence WHERE name = 'notes')",
                "INSERT INTO notes (body) SELECT name FROM SQLITE_SEQUENCE",
            ],
        ),
        (Denied, "may not read", &["SELECT * FROM dbstat"]),
        (Invalid, "", &["UPDATE sqlite_master SET sql = ''"]),
    ] {
        cases.extend(statements.iter().map(|sql| fails(*sql, kind, part)));
    }
    // What ANALYZE found may be read, and it found nothing about the host's tables.
    cases.push(row(
        "SELECT count(*) > 0, sum(tbl LIKE '!_mortise%' ESCAPE '!') FROM sqlite_stat1",
        vec![],
        vec![int(1), int(0)],
    ));
    cases.push(case("SELECT name FROM sqlite_master", vec![], Wanted::Works));
    cases
}

fn texts() -> Vec<Case> {
    let mut cases = vec![
        row("SELECT 1; -- the end\n /* really */ ; ", vec![], vec![int(1)]),
        row("\u{feff}SELECT 1", vec![], vec![int(1)]),
        fails("SELECT 1; SELECT 2", Invalid, "one call runs one statement"),
        fails(
            "DELETE FROM notes; DELETE FROM notes",
            Invalid,
            "one call runs one statement",
        ),
        fails("SELECT 1\0; DROP TABLE items", Invalid, "NUL"),
        fails("SELEKT 1", Invalid, "at byte 0 of the statement"),
        fails("SELECT nope FROM items", Invalid, "no such column: nope"),
        fails("SELECT 1 FROM nowhere", Invalid, "no such table: nowhere"),
        fails("SELECT \"nope\"", Invalid, "no such column"),
        fails(
            "INSERT INTO notes (body) VALUES (\"a string\")",
            Invalid,
            "no such column",
        ),
    ];
    for nothing in ["", "  ", "-- nothing", ";"] {
        cases.push(fails(nothing, Invalid, "no statement"));
    }
    cases
}

fn changes() -> Vec<Case> {
    let insert = |values: &str| format!("INSERT INTO items (id, name, stock, parent) VALUES ({values})");
    vec![
        case(insert("3, 'b', 0, 1"), vec![], Wanted::Changed(1)),
        case("UPDATE items SET stock = 1", vec![], Wanted::Changed(2)),
        case(
            "UPDATE items SET stock = 1 WHERE id = 99",
            vec![],
            Wanted::Changed(0),
        ),
        case(
            "UPDATE items SET stock = 1 RETURNING id",
            vec![],
            Wanted::Changed(2),
        ),
        case("SELECT id FROM items", vec![], Wanted::Changed(0)),
        case(
            "WITH n (x) AS (VALUES ('c')) INSERT INTO notes (body) SELECT x FROM n",
            vec![],
            Wanted::Changed(1),
        ),
        case("DELETE FROM notes", vec![], Wanted::Rows(vec![])),
        row(
            "INSERT INTO notes (body) VALUES (' x ') RETURNING id",
            vec![],
            vec![int(2)],
        ),
        row(
            "INSERT INTO notes DEFAULT VALUES RETURNING length(body)",
            vec![],
            vec![int(8)],
        ),
        fails(insert("3, 'Chair', 0, NULL"), Unique, "items.name"),
        fails(insert("1, 'b', 0, NULL"), Unique, "items.id"),
        fails(insert("3, NULL, 0, NULL"), NotNull, "items.name"),
        fails(insert("3, 'b', -1, NULL"), Check, "stock >= 0"),
        fails(
            insert("3, 'b', 0, 99"),
            ForeignKey,
            "FOREIGN KEY constraint failed",
        ),
    ]
}
