//! E: attacks through SQL.

use rig::clock::{now, pass, spoken};
use rig::guest::Recipe;
use rig::tenant::Tenant;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::process::{descriptors, threads};
use serde_json::{Value, json};

use super::guest::attacker;
use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _, at_once};

pub const ROWS: [Row; 11] = [
    Row {
        id: "E1",
        tried: "ATTACH, VACUUM INTO and file URIs",
        run: e1,
    },
    Row {
        id: "E2",
        tried: "extensions, tokenizers, virtual tables",
        run: e2,
    },
    Row {
        id: "E3",
        tried: "pragmas, as statements and as tables",
        run: e3,
    },
    Row {
        id: "E4",
        tried: "recursion without end, reading and writing",
        run: e4,
    },
    Row {
        id: "E5",
        tried: "single functions that would run for seconds",
        run: e5,
    },
    Row {
        id: "E6",
        tried: "a database that is filled, in tables and out of them",
        run: e6,
    },
    Row {
        id: "E7",
        tried: "COMMIT, SAVEPOINT and two statements in one",
        run: e7,
    },
    Row {
        id: "E8",
        tried: "a writer who holds the lock, and 100 who wait",
        run: e8,
    },
    Row {
        id: "E9",
        tried: "a tenant's file overwritten and cut",
        run: e9,
    },
    Row {
        id: "E10",
        tried: "views and triggers left for the host's own queries",
        run: e10,
    },
    Row {
        id: "E11",
        tried: "a database for each of many tenants",
        run: e11,
    },
];

pub(super) fn run(tenant: &Tenant, how: &str, sql: &str) -> Result<Value> {
    tenant
        .post("database", how, &json!({ "sql": sql }))?
        .is("200")?
        .body()
}

/// Checks that these statements are rejected with one of these errors, as queries and as
/// executions.
fn all_refused(stage: &Stage, name: &str, statements: &[&str], errors: &[&str]) -> Seen {
    let tenant = attacker(stage, name, &stage.guests.database)?;
    for sql in statements {
        for how in ["/execute", "/query"] {
            let answer = run(&tenant, how, sql)?;
            let error = answer["error"].as_str().unwrap_or_default();
            ensure!(errors.contains(&error), "{sql} by {how}: {answer}");
        }
    }
    let rows = run(&tenant, "/query", "SELECT count(*) FROM notes")?;
    ensure!(rows["ok"]["rows"] == json!([[1]]), "{rows}");
    Ok(format!(
        "{} of {} refused, the data as it was",
        statements.len(),
        statements.len()
    ))
}

fn e1(stage: &Stage) -> Seen {
    let target = std::env::temp_dir().join(format!("mortise-hostile-{}.db", std::process::id()));
    let (attach, into) = (
        format!("ATTACH '{}' AS x", target.display()),
        format!("VACUUM INTO '{}'", target.display()),
    );
    let statements = [
        attach.as_str(),
        "ATTACH ':memory:' AS x",
        "ATTACH 'file:x?mode=memory&cache=shared' AS x",
        &into,
        "VACUUM",
        "DETACH main",
    ];
    let seen = all_refused(stage, "e1", &statements, &["denied"])?;
    ensure!(!target.exists(), "{} was written", target.display());
    Ok(seen)
}

fn e2(stage: &Stage) -> Seen {
    let statements = [
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('x')",
        "CREATE VIRTUAL TABLE f USING fts5(a)",
        "CREATE VIRTUAL TABLE r USING rtree(a, b, c)",
        "CREATE VIRTUAL TABLE c USING csv(filename='/etc/passwd')",
        "SELECT * FROM dbstat",
        "SELECT * FROM sqlite_dbpage",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('/tmp/x', 'x')",
        "SELECT edit('x')",
        "SELECT * FROM fsdir('/')",
    ];
    all_refused(stage, "e2", &statements, &["denied", "invalid"])
}

fn e3(stage: &Stage) -> Seen {
    let statements = [
        "PRAGMA max_page_count = 1000000000",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA trusted_schema = ON",
        "PRAGMA query_only = OFF",
        "PRAGMA database_list",
        "PRAGMA key = 'x'",
        "PRAGMA temp_store_directory = '/'",
        "PRAGMA mmap_size = 1000000000",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pragma_table_info('notes')",
        "SELECT * FROM pragma_function_list",
        "UPDATE sqlite_master SET sql = ''",
        "DELETE FROM sqlite_schema",
        "SELECT * FROM _mortise_migrations",
    ];
    all_refused(stage, "e3", &statements, &["denied", "invalid"])
}

fn e4(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "e4", &stage.guests.database)?;
    tenant.limit(&json!({ "sql_time": "300ms" }))?;
    let begin = now();
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)";
    for (how, sql) in [
        ("/query", format!("{endless} SELECT count(*) FROM n")),
        (
            "/execute",
            format!("{endless} INSERT INTO notes (body) SELECT x FROM n"),
        ),
    ] {
        let answer = run(&tenant, how, &sql)?;
        ensure!(answer["error"] == "limit", "{answer}");
    }
    let took = begin.elapsed();
    ensure!(took < Duration::from_secs(20), "it took {took:?}");
    let rows = run(&tenant, "/query", "SELECT count(*) FROM notes")?;
    ensure!(rows["ok"]["rows"] == json!([[1]]), "{rows}");
    Ok(format!(
        "typed limit both times, in {} with a limit of 300 ms each",
        spoken(took)
    ))
}

fn e5(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "e5", &stage.guests.database)?;
    let (large, needle) = ("a".repeat(600_000), format!("{}b", "a".repeat(300_000)));
    let mut slowest = Duration::ZERO;
    for sql in [
        "SELECT instr($1, $2)",
        "SELECT replace($1, $2, '')",
        "SELECT trim($1, $2)",
        "SELECT unhex($1, $2)",
        "SELECT $1 LIKE $2",
        "SELECT $1 GLOB $2",
        "SELECT group_concat($1) FROM (SELECT 1 UNION SELECT 2)",
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT format('%1000000000d', 1)",
        "SELECT zeroblob(1000000000)",
        "SELECT hex(randomblob(100000000))",
        "SELECT json_array($1, $2)",
    ] {
        let begin = now();
        let params = json!({ "sql": sql, "params": [large, needle] });
        let answer = tenant
            .post("database", "/query", &params)?
            .is("200|504 plugin-cpu")?;
        let said = answer.body()?;
        // A function may accept both arguments if it is fast.
        slowest = slowest.max(begin.elapsed());
        ensure!(
            begin.elapsed() < Duration::from_secs(6),
            "{sql} took {:?}",
            begin.elapsed()
        );
        ensure!(
            said["ok"].is_object() || said["error"].is_string() || said["code"].is_string(),
            "{sql}: {said}"
        );
    }
    for sql in [
        "SELECT printf('%.*c', 1000000000, 'x')",
        "SELECT zeroblob(1000000000)",
    ] {
        let answer = tenant.post(
            "database",
            "/query",
            &json!({ "sql": sql, "params": [large, needle] }),
        )?;
        ensure!(answer.body()?["error"].is_string(), "{sql}: {}", answer.text());
    }
    Ok(format!("12 tried, the slowest took {}", spoken(slowest)))
}

fn e6(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "e6", &stage.guests.database)?;
    tenant.limit(&json!({ "database_size": "1MiB" }))?;
    let insert = json!({ "sql": "INSERT INTO notes (body) VALUES ($1)", "params": ["x".repeat(100_000)] });
    let mut written = 0;
    let full = loop {
        let answer = tenant.post("database", "/execute", &insert)?.is("200")?.body()?;
        if answer["error"].is_string() {
            break answer;
        }
        written += 1;
        ensure!(written < 40, "4 MB were written to a database of 1 MiB");
    };
    ensure!(full["error"] == "limit", "{full}");
    for sql in ["CREATE TEMP TABLE t (a)", "CREATE TEMP VIEW v AS SELECT 1"] {
        let answer = run(&tenant, "/execute", sql)?;
        ensure!(answer["error"] == "denied", "{sql}: {answer}");
    }
    let largest = databases(stage)?
        .iter()
        .filter_map(|path| Some(path.metadata().ok()?.len()))
        .max();
    ensure!(largest.unwrap_or(0) < 8 << 20, "a file of {largest:?} bytes");
    ensure!(run(&tenant, "/query", "SELECT count(*) FROM notes")?["ok"].is_object());
    ensure!(run(&tenant, "/execute", "DELETE FROM notes")?["ok"].is_number());
    let again = tenant.post("database", "/execute", &insert)?.is("200")?.body()?;
    ensure!(again["ok"] == 1, "{again}");
    Ok(format!(
        "typed limit after {written} rows of 100 KB; reads go on, and so do writes once there is room"
    ))
}

fn e7(stage: &Stage) -> Seen {
    let statements = [
        "BEGIN",
        "BEGIN IMMEDIATE",
        "COMMIT",
        "ROLLBACK",
        "END",
        "SAVEPOINT a",
        "RELEASE a",
        "ROLLBACK TO a",
    ];
    let seen = all_refused(stage, "e7", &statements, &["denied"])?;
    let stacked = [
        "INSERT INTO notes (body) VALUES ('a'); DELETE FROM notes",
        "SELECT 1; COMMIT",
        "SELECT 1; SELECT 2",
        "INSERT INTO notes (body) VALUES ('a');;;SELECT 1",
    ];
    all_refused(stage, "e7-stacked", &stacked, &["denied", "invalid"])?;
    let tenant = attacker(stage, "e7-trap", &stage.guests.database)?;
    let insert = json!({ "sql": "INSERT INTO notes (body) VALUES ('trapped')" });
    tenant
        .post("database", "/trap-in-transaction", &insert)?
        .is("502 plugin-trapped")?;
    let rows = run(&tenant, "/query", "SELECT count(*) FROM notes")?;
    ensure!(rows["ok"]["rows"] == json!([[1]]), "a trap committed: {rows}");
    Ok(format!("{seen}; stacked ones too; a trap rolls back"))
}

fn e8(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "e8", &stage.guests.database)?;
    tenant.deploy(&stage.guests.attacks)?;
    tenant.limit(&json!({ "wall": "2s" }))?;
    let begin = now();
    let insert = json!({ "sql": "INSERT INTO notes (body) VALUES ('waited')" });
    let replies = at_once(101, |index| match index {
        0 => tenant.get("attacks", "/hold-transaction"),
        _ => {
            pass(Duration::from_millis(100));
            tenant.post("database", "/execute", &insert)
        }
    });
    let (mut written, mut refused) = (0, 0);
    for (index, reply) in replies.into_iter().enumerate() {
        let reply = reply?.is("200|504 plugin-timeout|503 overloaded")?;
        let answer = reply.body()?;
        match index {
            0 => ensure!(reply.status == 504, "the holder: {answer}"),
            _ if answer["ok"] == 1 => written += 1,
            _ => refused += 1,
        }
    }
    ensure!(
        begin.elapsed() < Duration::from_secs(30),
        "it took {:?}",
        begin.elapsed()
    );
    let rows = run(&tenant, "/query", "SELECT count(*) FROM notes")?;
    // A write without a response may have succeeded.
    let count = rows["ok"]["rows"][0][0].as_i64().context("a count")?;
    ensure!(
        count > written && count <= written + refused + 1,
        "{written} were told so, {count} are there"
    );
    let after = run(&tenant, "/execute", "INSERT INTO notes (body) VALUES ('after')")?;
    ensure!(after["ok"] == 1, "{after}");
    Ok(format!(
        "{written} wrote after the holder was ended, {refused} were refused, all within {}",
        spoken(begin.elapsed())
    ))
}

fn e9(stage: &Stage) -> Seen {
    let host = stage.fresh(&stage.launch())?;
    let (victim, other) = (host.tenant("victim")?.keep(), host.tenant("other")?.keep());
    victim.deploy(&stage.guests.database)?;
    let before = files(&host.data().join("databases"))?;
    other.deploy(&stage.guests.database)?;
    run(&victim, "/execute", "INSERT INTO notes (body) VALUES ('mine')")?;
    let folder = host.stop()?;
    let file = before
        .iter()
        .find(|path| path.extension().is_some_and(|kind| kind == "db"))
        .context("the victim's file")?;
    let mut seen = Vec::new();
    let intact = std::fs::read(file)?;
    for harm in ["pages", "cut", "noise"] {
        let mut handle = std::fs::File::create(file)?;
        handle.write_all(&intact)?;
        match harm {
            "pages" => {
                for at in (1_024..u64::try_from(intact.len())?).step_by(512) {
                    handle.seek(SeekFrom::Start(at))?;
                    handle.write_all(&[0xa5; 64])?;
                }
            }
            "cut" => handle.set_len(u64::try_from(intact.len() / 2 + 7)?)?,
            _ => handle
                .write_all(&vec![0x5a; intact.len()])
                .and_then(|()| handle.rewind())
                .and_then(|()| handle.write_all(&[0x5a; 4096]))?,
        }
        drop(handle);
        let host = stage
            .launch()
            .start_on(folder.clone())
            .with_context(|| format!("with {harm}"))?;
        let victim = host.known("victim");
        let answer = victim.post(
            "database",
            "/query",
            &json!({ "sql": "SELECT count(body) FROM notes" }),
        )?;
        let answer = answer.is("200|503|500 internal")?;
        let said = answer.body()?;
        seen.push(format!("{harm}: {}", said["error"].as_str().unwrap_or("served")));
        ensure!(
            answer.status == 200,
            "{harm}: a damaged file is not the host's fault: {said}"
        );
        ensure!(
            said["error"].is_string() || harm == "cut",
            "{harm} was read: {said}"
        );
        let untouched = run(&host.known("other"), "/query", "SELECT count(*) FROM notes")?;
        ensure!(untouched["ok"]["rows"] == json!([[1]]), "{harm}: {untouched}");
        host.serves_the_good_tenant()?;
        host.stop()?;
    }
    Ok(format!("{}; the others are served", seen.join(", ")))
}

fn e10(stage: &Stage) -> Seen {
    let mut seen = Vec::new();
    for (index, sql) in [
        "CREATE VIEW evil AS SELECT load_extension('x')",
        "CREATE VIEW evil AS SELECT * FROM _mortise_migrations",
        "CREATE TRIGGER evil AFTER INSERT ON _mortise_migrations BEGIN SELECT 1; END",
        "CREATE TABLE t (a); CREATE TRIGGER evil AFTER INSERT ON t BEGIN DELETE FROM _mortise_migrations; END",
        "ATTACH '/tmp/x' AS x",
        "PRAGMA writable_schema = ON",
        "COMMIT; CREATE TABLE left (a)",
    ]
    .into_iter()
    .enumerate()
    {
        let tenant = stage.plain()?.tenant(&format!("e10-{index}"))?;
        let guest = Recipe::of(test_artifacts::DATABASE)?.version(&format!("1.0.{index}")).database(&[sql]).guest();
        let uploaded = tenant.upload(&guest.plugin, &guest.component)?.ok()?;
        tenant.grant(&guest.plugin, &guest.grants)?;
        let version = uploaded["version"].as_str().context("a version")?;
        let activated = tenant.activate(&guest.plugin, version)?;
        if activated.status == 200 {
            let used = if sql.contains("TABLE t") { "INSERT INTO t VALUES (1)" } else { "SELECT * FROM evil" };
            let how = if sql.contains("TABLE t") { "/execute" } else { "/query" };
            let answer = run(&tenant, how, used)?;
            ensure!(answer["error"].is_string(), "{sql}: {answer}");
            seen.push("denied when used".to_owned());
        } else {
            seen.push(activated.is("422 migration-failed").with_context(|| sql.to_owned())?.seen());
        }
    }
    Ok(seen.join(", "))
}

fn e11(stage: &Stage) -> Seen {
    let tenants = stage.scaled(40, 1_000);
    let host = stage.fresh(&stage.launch())?;
    let (descriptors_before, threads_before) = (descriptors(host.id())?, threads(host.id())?);
    for index in 0..tenants {
        let tenant = host.tenant(&format!("many-{index}"))?.keep();
        tenant.deploy(&stage.guests.database)?;
        ensure!(run(&tenant, "/query", "SELECT count(*) FROM notes")?["ok"].is_object());
    }
    let more = descriptors(host.id())?.saturating_sub(descriptors_before);
    let more_threads = threads(host.id())?.saturating_sub(threads_before);
    // An open database uses a file, its log and the log's index, for each connection.
    ensure!(
        more <= 1_000 && more_threads <= 200,
        "{more} descriptors and {more_threads} threads more"
    );
    host.serves_the_good_tenant()?;
    host.stop()?;
    Ok(format!(
        "{tenants} tenants: {more} descriptors and {more_threads} threads more"
    ))
}

fn databases(stage: &Stage) -> Result<Vec<PathBuf>> {
    files(&stage.plain()?.data().join("databases"))
}

fn files(folder: &std::path::Path) -> Result<Vec<PathBuf>> {
    Ok(std::fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .collect())
}
