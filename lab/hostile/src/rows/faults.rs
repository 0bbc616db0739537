//! L1 to L8: attacks that once ended the process, blocked the listener or used up all memory.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{now, pass, spoken};
use rig::guest::{Guest, Recipe};
use rig::host::Host;
use rig::http::Reply;
use rig::process::{processor_time, resident};
use rig::tenant::Tenant;
use rig::wasm::{self, ANSWER};
use serde_json::json;

use super::guest::attacker;
use super::sqlite::run;
use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _, at_once};

pub const ROWS: [Row; 8] = [
    Row {
        id: "L1",
        tried: "schemas whose definitions refer to each other thousands deep",
        run: l1,
    },
    Row {
        id: "L2",
        tried: "4 MB of dotted headers in a manifest",
        run: l2,
    },
    Row {
        id: "L3",
        tried: "compiled statements and schemas that fill SQLite's memory, and stay",
        run: l3,
    },
    Row {
        id: "L4",
        tried: "patterns with large automata, and a megabyte to match",
        run: l4,
    },
    Row {
        id: "L5",
        tried: "unevaluatedProperties in anyOf, 40 deep",
        run: l5,
    },
    Row {
        id: "L6",
        tried: "a body that is wrong at each of 500,000 places",
        run: l6,
    },
    Row {
        id: "L7",
        tried: "modules with hundreds of thousands of exports, loaded",
        run: l7,
    },
    Row {
        id: "L8",
        tried: "dear functions in generated columns, CHECK and indexes",
        run: l8,
    },
];

/// The longest allowed wait of the good tenant, whatever another tenant does.
const NEVER: Duration = Duration::from_secs(5);

/// Runs `attack` while the good tenant is called repeatedly. Returns the result and the good
/// tenant's longest wait.
pub fn beside_the_good_tenant<T: Send>(
    host: &Host,
    attack: impl FnOnce() -> T + Send,
) -> Result<(T, Duration)> {
    let (done, longest) = std::thread::scope(|scope| {
        let attack = scope.spawn(attack);
        let mut longest = Duration::ZERO;
        let mut asked = 0;
        while asked == 0 || !attack.is_finished() {
            let begin = now();
            host.serves_the_good_tenant()?;
            longest = longest.max(begin.elapsed());
            asked += 1;
            pass(Duration::from_millis(40));
        }
        let done = attack
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        anyhow::Ok((done, longest))
    })?;
    ensure!(longest < NEVER, "the good tenant waited {longest:?}");
    Ok((done, longest))
}

/// A handwritten guest with a route for each schema: `/s0`, `/s1`.
fn checked(schemas: &[&str]) -> Result<Guest> {
    let mut recipe = Recipe::from_bytes("checked", wasm::handler("", ANSWER)?);
    for (index, schema) in schemas.iter().enumerate() {
        let name = format!("s{index}.json");
        recipe = recipe.schema_text(&name, schema).route_with(
            "POST",
            &format!("/s{index}"),
            &format!("auth = 'public'\nrequest = '{name}'"),
        );
    }
    Ok(recipe.guest())
}

/// Uploads a guest, which the host may accept or reject, but must not fail on.
fn uploaded(tenant: &Tenant, guest: &Guest) -> Result<Reply> {
    let reply = tenant.upload(&guest.plugin, &guest.component)?;
    ensure!(reply.status < 500, "{}: {}", reply.seen(), reply.text());
    Ok(reply)
}

fn l1(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("l1")?;
    let mut seen = Vec::new();
    for (name, open, close) in [
        ("$ref", "{\"$ref\":\"#/$defs/", "\"}"),
        ("allOf", "{\"allOf\":[{\"$ref\":\"#/$defs/", "\"}]}"),
        ("not", "{\"not\":{\"$ref\":\"#/$defs/", "\"}}"),
        ("if", "{\"if\":{\"$ref\":\"#/$defs/", "\"}}"),
        (
            "properties",
            "{\"properties\":{\"a\":{\"$ref\":\"#/$defs/",
            "\"}}}",
        ),
        (
            "dependentSchemas",
            "{\"dependentSchemas\":{\"a\":{\"$ref\":\"#/$defs/",
            "\"}}}",
        ),
    ] {
        for depth in [2_900, 4_900, 9_000] {
            let chain: String = (0..depth)
                .map(|at| format!("\"{at}\":{open}{}{close},", at + 1))
                .collect();
            let schema = format!("{{\"$ref\":\"#/$defs/0\",\"$defs\":{{{chain}\"{depth}\":true}}}}");
            let reply = uploaded(&tenant, &checked(&[&schema])?).context(name)?;
            seen.push(reply.seen());
            host.serves_the_good_tenant().context(name)?;
        }
    }
    let count = seen.len();
    seen.sort();
    seen.dedup();
    Ok(format!("{count} schemas: {}", seen.join(", ")))
}

fn l2(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("l2")?;
    let mut manifest = "[plugin]\nname = 'raw'\nversion = '1'\n".to_owned();
    let mut number = 0;
    while manifest.len() < 3_900_000 {
        number += 1;
        manifest.push_str(&format!("[a.b{number}{}]\n", ".a".repeat(76)));
    }
    let guest = Recipe::from_bytes("raw", wasm::handler("", ANSWER)?)
        .manifest(&manifest)
        .guest();
    let before = resident(host.id())?;
    let (largest, longest) = beside_the_good_tenant(host, || {
        std::thread::scope(|scope| {
            let upload = scope.spawn(|| uploaded(&tenant, &guest));
            let mut largest = before;
            while !upload.is_finished() {
                largest = largest.max(resident(host.id())?);
                pass(Duration::from_millis(5));
            }
            let reply = upload
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            ensure!(reply.status == 422, "{}", reply.seen());
            anyhow::Ok(largest)
        })
    })?;
    let grown = largest?.saturating_sub(before);
    ensure!(grown < 128 << 20, "{} MiB more", grown >> 20);
    Ok(format!(
        "422, {} MiB more, the good tenant waited {} at most",
        grown >> 20,
        spoken(longest)
    ))
}

fn l3(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let body = "UPDATE m SET a = 1 WHERE b = 2;".repeat(500);
    let triggers: String = (0..25)
        .map(|at| format!("; CREATE TRIGGER r{at} AFTER INSERT ON m BEGIN {body} END"))
        .collect();
    let migration = format!("CREATE TABLE m (a, b){triggers}");
    let attacker = host.tenant("l3")?;
    attacker.deploy(
        &Recipe::of(test_artifacts::DATABASE)?
            .database(&[&migration])
            .guest(),
    )?;
    let victim = host.tenant("l3-victim")?;
    victim.deploy(&stage.guests.database)?;
    let before = resident(host.id())?;
    let count = stage.scaled(25, 46);
    let (limited, longest) = beside_the_good_tenant(host, || {
        let mut limited = 0;
        for number in 0..count {
            for (how, sql) in [
                ("/execute", format!("INSERT INTO m (a) VALUES ({number})")),
                ("/cursor", format!("INSERT INTO m (a) VALUES (-{number})")),
                ("/query", format!("SELECT {number} FROM m")),
            ] {
                let answer = attacker.post("database", how, &json!({ "sql": sql }))?;
                ensure!(answer.status != 500, "{sql}: {}", answer.text());
                limited += usize::from(answer.text().contains("\"limit\""));
            }
            let rows = run(&victim, "/query", "SELECT count(*) FROM notes")?;
            ensure!(rows["ok"]["rows"] == json!([[1]]), "another tenant's SQL: {rows}");
            let written = run(&victim, "/execute", "UPDATE notes SET body = 'kept'")?;
            ensure!(written["ok"] == 1, "another tenant's SQL: {written}");
        }
        host.admin().get(&victim.path("/usage"))?.is("200")?;
        host.admin().get(&victim.path("/audit"))?.is("200")?;
        anyhow::Ok(limited)
    })?;
    let limited = limited?;
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(grown < 384 << 20, "{} MiB more", grown >> 20);
    Ok(format!(
        "{} statements, {limited} refused as too large, {} MiB more; the other tenant served, the good one within {}",
        count * 3,
        grown >> 20,
        spoken(longest)
    ))
}

/// Sends concurrent bodies to a checked route while the good tenant is served.
fn bodies(stage: &Stage, name: &str, schema: &str, body: &[u8], count: usize) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant(name)?;
    let guest = checked(&[schema])?;
    let reply = uploaded(&tenant, &guest)?;
    if reply.status != 201 {
        return Ok(format!("refused at upload: {}", reply.seen()));
    }
    tenant.deploy(&guest)?;
    let before = resident(host.id())?;
    let path = format!("/{}/checked/s0", tenant.name);
    let (outcome, longest) = beside_the_good_tenant(host, || {
        std::thread::scope(|scope| {
            let crowd = scope.spawn(|| {
                at_once(count, |_| {
                    host.http().send("POST", &path, Some(("application/json", body)))
                })
            });
            let mut largest = before;
            while !crowd.is_finished() {
                largest = largest.max(resident(host.id())?);
                pass(Duration::from_millis(5));
            }
            let replies = crowd
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let replies: Vec<Reply> = replies.into_iter().collect::<Result<_>>()?;
            anyhow::Ok((replies, largest))
        })
    })?;
    let (replies, largest) = outcome?;
    let mut seen: Vec<String> = replies.iter().map(Reply::seen).collect();
    for reply in &replies {
        ensure!(reply.status != 500, "{}: {}", reply.seen(), reply.text());
    }
    seen.sort();
    seen.dedup();
    let grown = largest.saturating_sub(before);
    ensure!(grown < 256 << 20, "{} MiB more", grown >> 20);
    host.http().get("/-/healthz")?.is("200")?;
    Ok(format!(
        "{count} at once: {}; {} MiB more, the good tenant waited {} at most",
        seen.join(", "),
        grown >> 20,
        spoken(longest)
    ))
}

fn l4(stage: &Stage) -> Seen {
    let patterns: Vec<String> = (0..60)
        .map(|at| format!("{{\"pattern\":\"[ab]*a[ab]{{2500}}c{at}\"}}"))
        .collect();
    let schema = format!("{{\"anyOf\":[{}]}}", patterns.join(","));
    let text: String = (0..1_000_000)
        .map(|_| if stage.random(2) == 0 { 'a' } else { 'b' })
        .collect();
    bodies(stage, "l4", &schema, format!("\"{text}\"").as_bytes(), 2)
}

fn l5(stage: &Stage) -> Seen {
    let mut schema = "{\"properties\":{\"a\":true}}".to_owned();
    for _ in 0..40 {
        schema = format!(
            "{{\"unevaluatedProperties\":false,\"anyOf\":[{schema},{{\"properties\":{{\"b\":true}}}}]}}"
        );
    }
    let members: String = (0..40).map(|at| format!(",\"m{at}\":{at}")).collect();
    bodies(
        stage,
        "l5",
        &schema,
        format!("{{\"a\":1{members}}}").as_bytes(),
        8,
    )
}

fn l6(stage: &Stage) -> Seen {
    let types =
        ["string", "object", "array", "boolean", "null"].map(|name| format!("{{\"type\":\"{name}\"}}"));
    let schema = format!("{{\"items\":{{\"anyOf\":[{}]}}}}", types.join(","));
    let body = format!("[{}1]", "1,".repeat(500_000));
    bodies(stage, "l6", &schema, body.as_bytes(), 6)
}

fn l7(stage: &Stage) -> Seen {
    let host = stage.fresh(&stage.launch().set("runtime.loaded", "64MiB"))?;
    let tenant = host.tenant("l7")?.keep();
    let before = resident(host.id())?;
    let (mut taken, mut refused) = (0, 0);
    for number in 0..stage.scaled(2, 12) {
        let exports: String = (0..450_000)
            .map(|at| format!("(export \"{at}\" (func $f))"))
            .collect();
        let component = wasm::handler(
            &format!("(func $f (drop (i32.const {number}))) {exports}"),
            ANSWER,
        )?;
        let name = format!("many-{number}");
        let guest = Recipe::from_bytes(&name, component).guest();
        let reply = uploaded(&tenant, &guest)?;
        if reply.status == 201 {
            tenant.deploy(&guest)?;
            tenant.get(&name, "/")?;
            taken += 1;
        } else {
            refused += 1;
        }
        host.serves_the_good_tenant()?;
    }
    let grown = resident(host.id())?.saturating_sub(before);
    ensure!(
        grown < 512 << 20,
        "{} MiB more with 64 MiB for loaded code",
        grown >> 20
    );
    host.stop()?;
    Ok(format!(
        "{taken} taken, {refused} refused, {} MiB more",
        grown >> 20
    ))
}

fn l8(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    // The match comes last.
    let functions = [
        ("trim(a, b)", "b"),
        ("instr(a, b || 'c')", "a"),
        ("replace(a, b, 'x')", "a"),
        ("rtrim(a, b)", "b"),
    ];
    let mut seen = Vec::new();
    for (index, (function, fill)) in functions.iter().enumerate() {
        let columns: String = (0..90)
            .map(|at| format!(", g{at} AS ({function}) STORED"))
            .collect();
        let checks: String = (0..90)
            .map(|at| format!(", CHECK ({function} IS NOT {at})"))
            .collect();
        let indexes: String = (0..30)
            .map(|at| format!("; CREATE INDEX i{at} ON m ({function})"))
            .collect();
        for (place, table) in [
            ("column", format!("CREATE TABLE m (a, b{columns})")),
            ("check", format!("CREATE TABLE m (a, b{checks})")),
            ("index", format!("CREATE TABLE m (a, b){indexes}")),
        ] {
            let name = format!("l8-{place}-{index}");
            let mut tenant = attacker(stage, &name, &stage.guests.database)?;
            tenant.limit(&json!({ "sql_time": "300ms" }))?;
            let made = Recipe::from_bytes("maker", wasm::handler("", ANSWER)?)
                .database(&[&table])
                .guest();
            if uploaded(&tenant, &made)?.status != 201 {
                seen.push("refused".to_owned());
                continue;
            }
            let reply = tenant.deploy(&made);
            if reply.is_err() {
                seen.push("refused".to_owned());
                continue;
            }
            // The values are parameters, so the text of the statement does not show their size.
            let insert = json!({
                "sql": "INSERT INTO m (a, b) VALUES ($1, $2)",
                "params": ["a".repeat(400_000), format!("{}a", fill.repeat(80_000))],
            });
            let begin = now();
            let reply = tenant.post("database", "/execute", &insert)?;
            let answer = reply.is("200|504 plugin-cpu|504 plugin-timeout")?.body()?;
            ensure!(
                begin.elapsed() < NEVER,
                "{place} with {function} took {:?}",
                begin.elapsed()
            );
            seen.push(answer["error"].as_str().unwrap_or("done").to_owned());
            // No work may continue after the response.
            pass(Duration::from_millis(300));
            let before = processor_time(host.id())?;
            pass(Duration::from_millis(500));
            let busy = processor_time(host.id())?.saturating_sub(before);
            ensure!(
                busy < Duration::from_millis(250),
                "{place} with {function}: busy for {busy:?} behind the answer"
            );
            tenant.delete()?;
        }
    }
    host.serves_the_good_tenant()?;
    seen.sort();
    let mut counted: Vec<(String, usize)> = Vec::new();
    for word in seen {
        match counted.last_mut() {
            Some((last, count)) if *last == word => *count += 1,
            _ => counted.push((word, 1)),
        }
    }
    let words: Vec<String> = counted
        .iter()
        .map(|(word, count)| format!("{count} × {word}"))
        .collect();
    Ok(format!(
        "{}; no thread goes on behind an answer",
        words.join(", ")
    ))
}
