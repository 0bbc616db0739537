//! Generates SQL: migrations, and statements that a guest runs.

use serde_json::{Value, json};

use rig::guest::Recipe;

use super::with_tenant;
use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::{Part, named};
use crate::target::{Target, deploy, sound};

/// The ways to run a statement; each is the name of a part.
const WAYS: [&str; 4] = ["query", "execute", "cursor", "transaction"];

/// Functions of one argument, and of two.
const FUNCTIONS: [&str; 22] = [
    "abs",
    "length",
    "lower",
    "upper",
    "hex",
    "quote",
    "typeof",
    "unicode",
    "trim",
    "ltrim",
    "rtrim",
    "json",
    "json_type",
    "json_array_length",
    "date",
    "julianday",
    "soundex",
    "likely",
    "octet_length",
    "sum",
    "count",
    "total",
];
const FUNCTIONS_OF_TWO: [&str; 20] = [
    "instr",
    "trim",
    "ltrim",
    "rtrim",
    "ifnull",
    "nullif",
    "coalesce",
    "max",
    "min",
    "round",
    "substr",
    "unhex",
    "json_array",
    "json_extract",
    "json_patch",
    "json_remove",
    "group_concat",
    "like",
    "glob",
    "strftime",
];

/// Returns migrations and statements. A statement is the JSON input of the guest.
pub fn generate(chance: &mut Chance) -> Vec<Part> {
    if chance.odds(1, 4) {
        return dear(chance);
    }
    let mut parts = Vec::new();
    for table in 0..chance.between(1, 3) {
        parts.push(Part::new("migration").text(table_of(chance, table)));
    }
    for _ in 0..chance.between(2, 10) {
        let (way, sql) = match chance.below(10) {
            0..=2 => ("execute", insert(chance)),
            3 => ("execute", change(chance)),
            4 => ("execute", definition(chance)),
            5 => (chance.pick(&WAYS), damaged(&select(chance, 2), chance)),
            6 => ("cursor", select(chance, 2)),
            _ => ("query", select(chance, 2)),
        };
        parts.push(statement(way, &sql, chance));
    }
    parts
}

/// A statement as JSON input of the guest, with values for its parameters.
fn statement(way: &str, sql: &str, chance: &mut Chance) -> Part {
    if way == "transaction" {
        let end = chance.pick(&["commit", "rollback", "drop", "commit-twice", "query"]);
        let input = json!({ "statements": [sql, "INSERT INTO t0 (a) VALUES (1)"], "end": end });
        return Part::new(way).text(input.to_string());
    }
    let params: Vec<Value> = (0..sql.matches('$').count().min(9))
        .map(|_| param(chance))
        .collect();
    Part::new(way).text(json!({ "sql": sql, "params": params, "max": chance.size(500) }).to_string())
}

fn param(chance: &mut Chance) -> Value {
    match chance.below(6) {
        0 => Value::Null,
        1 => json!(chance.below(100)),
        2 => json!(i64::MIN),
        3 => json!(chance.text(200)),
        4 => json!("x".repeat(chance.size(20_000))),
        _ => json!([0, 255, 7]),
    }
}

fn table_of(chance: &mut Chance, number: usize) -> String {
    let mut sql = format!("CREATE TABLE t{number} (id INTEGER PRIMARY KEY, a, b TEXT, c REAL");
    if chance.odds(1, 3) {
        sql.push_str(&format!(", d AS ({}) STORED", expression(chance, 1)));
    }
    if chance.odds(1, 4) {
        sql.push_str(&format!(", e DEFAULT ({})", constant(chance)));
    }
    if chance.odds(1, 4) {
        sql.push_str(", CHECK (length(b) < 1000000)");
    }
    sql.push(')');
    if chance.odds(1, 4) {
        sql.push_str(&format!(
            "; CREATE INDEX i{number} ON t{number} (a, {})",
            chance.pick(&["b", "length(b)", "c DESC"])
        ));
    }
    if chance.odds(1, 5) {
        sql.push_str(&format!(
            "; CREATE TRIGGER r{number} AFTER INSERT ON t{number} BEGIN UPDATE t{number} SET c = c + 1 WHERE id = new.id; END"
        ));
    }
    if chance.odds(1, 5) {
        sql.push_str(&format!(
            "; CREATE VIEW v{number} AS {}",
            select(chance, 1).replace('$', "")
        ));
    }
    sql
}

fn insert(chance: &mut Chance) -> String {
    let or = chance.pick(&["", "OR IGNORE ", "OR REPLACE "]);
    match chance.below(3) {
        0 => format!("INSERT {or}INTO t0 (a, b, c) VALUES ($1, $2, $3) RETURNING id"),
        1 => format!(
            "INSERT {or}INTO t0 (a, b, c) VALUES ({}, {}, 1.5)",
            constant(chance),
            constant(chance)
        ),
        _ => format!(
            "INSERT {or}INTO t0 (a, b) WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {}) SELECT x, {} FROM n",
            chance.size(3_000).max(1),
            constant(chance)
        ),
    }
}

fn change(chance: &mut Chance) -> String {
    match chance.odds(1, 3) {
        true => format!("DELETE FROM t0 WHERE {}", expression(chance, 2)),
        false => format!(
            "UPDATE t0 SET a = {}, b = {} WHERE id < {}",
            expression(chance, 2),
            expression(chance, 1),
            chance.below(50)
        ),
    }
}

fn definition(chance: &mut Chance) -> String {
    let name = chance.word();
    match chance.below(9) {
        0 => format!("CREATE TABLE IF NOT EXISTS \"{name}\" (x PRIMARY KEY, y) WITHOUT ROWID"),
        1 => format!("ALTER TABLE t0 ADD COLUMN \"{name}\" TEXT"),
        2 => format!(
            "CREATE INDEX IF NOT EXISTS \"{name}\" ON t0 ({})",
            expression(chance, 1)
        ),
        3 => "DROP TABLE IF EXISTS t2".to_owned(),
        4 => format!("PRAGMA {name}"),
        5 => "ANALYZE".to_owned(),
        6 => "REINDEX".to_owned(),
        7 => "ATTACH ':memory:' AS m".to_owned(),
        _ => format!(
            "CREATE VIEW IF NOT EXISTS \"{name}\" AS {}",
            select(chance, 1).replace('$', "")
        ),
    }
}

fn select(chance: &mut Chance, depth: usize) -> String {
    let from = match chance.below(8) {
        0 => "t0 JOIN t0 AS o ON t0.id = o.a".to_owned(),
        1 if depth > 0 => format!("({}) AS t0", select(chance, depth - 1)),
        2 => "json_each('[1,[2,3],{\"a\":4}]') AS t0".to_owned(),
        3 => "(VALUES (1, 2, 'x', 3.5)) AS t0".to_owned(),
        _ => "t0".to_owned(),
    };
    let columns: Vec<String> = (0..chance.between(1, 4))
        .map(|_| expression(chance, depth))
        .collect();
    let mut sql = format!(
        "SELECT {}{} FROM {from}",
        chance.pick(&["", "DISTINCT "]),
        columns.join(", ")
    );
    if chance.odds(1, 2) {
        sql.push_str(&format!(" WHERE {}", expression(chance, depth)));
    }
    if chance.odds(1, 4) {
        sql.push_str(&format!(" GROUP BY {}", expression(chance, 0)));
    }
    if chance.odds(1, 6) && depth > 0 {
        sql.push_str(&format!(
            " {} {}",
            chance.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]),
            select(chance, depth - 1)
        ));
    }
    if chance.odds(1, 3) {
        sql.push_str(" ORDER BY 1");
    }
    if chance.odds(1, 3) {
        sql.push_str(&format!(" LIMIT {}", chance.size(10_000)));
    }
    sql
}

fn constant(chance: &mut Chance) -> String {
    match chance.below(9) {
        0 => "NULL".to_owned(),
        1 => chance.below(1_000).to_string(),
        2 => "9223372036854775807".to_owned(),
        3 => "1e308".to_owned(),
        4 => "x'00ff'".to_owned(),
        5 => format!("hex(zeroblob({}))", chance.size(30_000)),
        6 => "random()".to_owned(),
        _ => format!("'{}'", chance.text(20).replace(['\'', '\0', '$'], "''")),
    }
}

fn expression(chance: &mut Chance, depth: usize) -> String {
    if depth == 0 {
        return match chance.below(3) {
            0 => constant(chance),
            _ => chance.pick(&["a", "b", "c", "id"]).to_owned(),
        };
    }
    let (one, other) = (expression(chance, depth - 1), expression(chance, depth - 1));
    match chance.below(14) {
        0..=2 => format!("{}({one})", chance.pick(&FUNCTIONS)),
        3..=5 => format!("{}({one}, {other})", chance.pick(&FUNCTIONS_OF_TWO)),
        6 => format!("replace({one}, {other}, 'xy')"),
        7 => format!(
            "({one} {} {other})",
            chance.pick(&[
                "+", "||", "*", "/", "%", "<<", "&", "=", "<", "IS", "LIKE", "GLOB", "->", "->>"
            ])
        ),
        8 => format!("CASE WHEN {one} THEN {other} ELSE 0 END"),
        9 => format!("({one} BETWEEN {other} AND 5)"),
        10 => format!(
            "CAST({one} AS {})",
            chance.pick(&["TEXT", "INTEGER", "BLOB", "REAL"])
        ),
        11 => format!("({one} IN ({other}, 1, 'x'))"),
        12 => format!("printf('%.{}f|%s|%10d', {one}, {other}, 3)", chance.size(100)),
        _ => format!("(SELECT {one} FROM t0 LIMIT 1)"),
    }
}

/// The statement with one fault.
fn damaged(sql: &str, chance: &mut Chance) -> String {
    const ODD: [&str; 14] = [
        "'", "\"", "(", ")", ";", "--", "/*", "\0", "$", "?999999", "::", "COMMIT;", "x'0", "\u{feff}",
    ];
    let cut = sql.floor_char_boundary(chance.below(sql.len() + 1));
    match chance.below(3) {
        0 => sql[..cut].to_owned(),
        1 => format!("{}{}{}", &sql[..cut], chance.pick(&ODD), &sql[cut..]),
        _ => format!("{sql}; {sql}"),
    }
}

/// SQL with a large number of one element.
fn dear(chance: &mut Chance) -> Vec<Part> {
    let migration = || Part::new("migration");
    let run = |way: &str, sql: &str| Part::new(way).text(json!({ "sql": sql }).to_string());
    // The values are parameters, so the text of the statement does not show their size.
    let (long, short) = (chance.between(1, 450_000), chance.between(1, 120_000));
    // The match comes last.
    let filler = chance.pick(&["a", "b"]);
    let insert = || {
        let part =
            Part::new("execute").text("{\"sql\":\"INSERT INTO m (a, b) VALUES ($1, $2)\",\"params\":[\"");
        part.times(long, "a")
            .text("\",\"")
            .times(short, filler)
            .text("a")
            .text("\"]}")
    };
    let function = chance.pick(&[
        "trim(a, b)",
        "instr(a, b || 'c')",
        "replace(a, b, 'x')",
        "ltrim(a, b)",
        "rtrim(a, b)",
        "unhex(a, b)",
        "a LIKE b",
        "a GLOB b",
        "json_patch(a, b)",
        "hex(a || b)",
        "quote(a)",
        "substr(a, 1, length(b))",
    ]);
    match chance.below(8) {
        // Functions that run while a row is written, although no statement names them.
        0 | 1 => {
            let count = chance.between(1, 180);
            let place = chance.below(5);
            let table = migration().text("CREATE TABLE m (a, b");
            let table = match place {
                0 => table.times(count, format!(", g{{i}} AS ({function}) STORED")).text(")"),
                1 => table.times(count, format!(", CHECK ({function} IS NOT {{i}})")).text(")"),
                2 => table.text(")").times(count.min(60), format!("; CREATE INDEX x{{i}} ON m ({function})")),
                3 => table.text(")").times(count.min(60), format!(
                    "; CREATE TRIGGER r{{i}} AFTER INSERT ON m BEGIN UPDATE m SET a = new.a WHERE ({}) IS NULL; END",
                    function.replace('a', "new.a").replace("b", "new.b").replace("rnew.eplnew.ace", "replace")
                )),
                _ => table.times(count, format!(", g{{i}} AS ({function})")).text(")"),
            };
            vec![
                table,
                insert(),
                run("query", "SELECT * FROM m"),
                run("execute", "DELETE FROM m"),
            ]
        }
        // Large programs that stay compiled.
        2 => {
            let triggers = chance.much(60).max(1);
            let body = "UPDATE m SET a = 1 WHERE b = 2;".repeat(chance.much(500).max(1));
            let mut parts = vec![migration().text("CREATE TABLE m (a, b)").times(
                triggers,
                format!("; CREATE TRIGGER r{{i}} AFTER INSERT ON m BEGIN {body} END"),
            )];
            parts.extend(
                (0..chance.much(46).max(1))
                    .map(|number| run("execute", &format!("INSERT INTO m (a) VALUES ({number})"))),
            );
            parts.extend(
                (0..chance.between(1, 20))
                    .map(|number| run("cursor", &format!("INSERT INTO m (a) VALUES (-{number})"))),
            );
            parts
        }
        // A large schema.
        3 => {
            let columns: Vec<String> = (0..chance.between(1, 250))
                .map(|column| format!("c{column}"))
                .collect();
            let table = format!("CREATE TABLE t{{i}} ({});\n", columns.join(","));
            let tables = chance.size(1_500_000 / table.len().max(1)).max(1);
            vec![
                migration().times(tables, table),
                run("query", "SELECT count(*) FROM sqlite_master"),
            ]
        }
        // Results that fill the memory before the first row.
        4 => {
            let rows = chance.much(2_000_000);
            let numbers =
                format!("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {rows})");
            let what = chance.pick(&[
                "SELECT group_concat(replace('bbbbbbbb', 'b', hex('mortise') || x)) FROM n",
                "SELECT DISTINCT replace('bbbbbbbb', 'b', hex('mortise') || x) FROM n ORDER BY 1 LIMIT 1",
                "SELECT x, replace('bbbbbbbb', 'b', hex('mortise') || x) AS s FROM n ORDER BY s DESC LIMIT 1",
                "SELECT json_group_array(x) FROM n",
                "SELECT count(*) FROM n AS a, n AS b",
                "SELECT sum(length(replace(replace('bbbbbbbb', 'b', 'aaaaaaaabbbbbbbb'), 'b', hex(x)))) FROM n",
                "SELECT x, count(*) OVER (ORDER BY x) FROM n",
                "SELECT max(x) FROM (SELECT x FROM n UNION SELECT -x FROM n)",
            ]);
            vec![run(
                chance.pick(&["query", "cursor"]),
                &format!("{numbers} {what}"),
            )]
        }
        // Long or deep statements.
        5 => {
            let count = chance.size(12_000);
            let mut statement = Part::new("query").text("{\"sql\":\"SELECT 1");
            statement = match chance.below(5) {
                0 => statement.times(count, " + 1"),
                1 => statement.times(count, " UNION ALL SELECT {i}"),
                2 => statement.text(" WHERE 1 IN (0").times(count, ",{i}").text(")"),
                3 => statement
                    .text(" WHERE ")
                    .times(count.min(3_000), "(")
                    .text("1")
                    .times(count.min(3_000), ")"),
                _ => statement
                    .text(" FROM (SELECT 1)")
                    .times(count.min(200), ", (SELECT {i})"),
            };
            vec![statement.text("\"}")]
        }
        // Names that expand to each other many times.
        6 => {
            let levels = chance.size(30);
            let statement = Part::new("query").text("{\"sql\":\"WITH w0 AS (SELECT 1 AS x)");
            vec![
                statement
                    .times(levels, ", w{j} AS (SELECT a.x FROM w{i} AS a, w{i} AS b)")
                    .text(format!(" SELECT count(*) FROM w{levels}\"}}")),
            ]
        }
        // Nested views, and generated columns that use each other.
        _ => {
            let levels = chance.size(200).max(1);
            vec![
                migration()
                    .text("CREATE TABLE m (a, b, g0 AS (a + 1)")
                    .times(levels, ", g{j} AS (g{i} || b)")
                    .text("); CREATE VIEW v0 AS SELECT * FROM m")
                    .times(levels, "; CREATE VIEW v{j} AS SELECT * FROM v{i}"),
                run("execute", "INSERT INTO m (a, b) VALUES (1, 'x')"),
                run("query", &format!("SELECT * FROM v{levels}")),
            ]
        }
    }
}

/// Applies the migrations with the smallest guest, and runs the statements with a test guest. The
/// input is accepted if a statement ran, and rejected if its text is invalid.
pub fn run(target: &Target, parts: &[Part]) -> Result<bool, Failure> {
    let migrations: Vec<String> = named(parts, "migration").map(Part::to_text).collect();
    let migrations: Vec<&str> = migrations.iter().map(String::as_str).collect();
    let maker = Recipe::from_bytes("maker", target.guests().tiny.clone())
        .database(&migrations)
        .guest();
    let runner = &target.guests().database;
    with_tenant(target, |tenant| {
        limit(tenant)?;
        let migrated = migrations.is_empty() || deploy(tenant, "maker", &maker.component, &maker.grants)?;
        if !deploy(tenant, &runner.plugin, &runner.component, &runner.grants)? {
            return Err(Failure::Unanswered(
                "the guest that runs SQL was refused".to_owned(),
            ));
        }
        let mut ran = 0;
        for part in parts.iter().filter(|part| WAYS.contains(&part.name.as_str())) {
            let path = format!("/{}/database/{}", tenant.name, part.name);
            let content = part.content();
            let sent = target
                .public()
                .send("POST", &path, Some(("application/json", &content)));
            let reply = sound(sent, &part.name)?;
            ran += usize::from(reply.body().is_ok_and(|body| !body["ok"].is_null()));
        }
        target.sql_works()?;
        Ok(migrated && ran > 0)
    })
}

/// Lowers the time limit, so that a run can send more inputs.
fn limit(tenant: &rig::tenant::Tenant) -> Result<(), Failure> {
    let limited = tenant.limit(&json!({ "sql_time": "300ms", "database_size": "16MiB" }));
    limited.map_err(|error| Failure::Unanswered(format!("limits of a tenant: {error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_what_the_guest_reads() {
        for number in 0..300 {
            for part in generate(&mut Chance::of(1, "sql", number)) {
                if WAYS.contains(&part.name.as_str()) {
                    let input: Value = serde_json::from_str(&part.to_text()).unwrap();
                    assert!(
                        input["sql"].is_string() || input["statements"].is_array(),
                        "{input}"
                    );
                }
            }
        }
    }
}
