//! C: attacks through host calls.

use rig::clock::{now, pass, spoken};
use rig::guest::Recipe;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::guest::attacker;
use crate::catalogue::{Row, Seen};
use crate::stage::{Stage, WithGoodTenant as _, at_once};
use rig::wasm::{self, ANSWER, DONE, REALLOC};
use rig::wire::Wire;

pub const ROWS: [Row; 12] = [
    Row {
        id: "C1",
        tried: "arguments of many megabytes: a text, and a list of small texts",
        run: c1,
    },
    Row {
        id: "C2",
        tried: "200,000 handles of the guest's own resources",
        run: c2,
    },
    Row {
        id: "C3",
        tried: "100,000 resources of the host, none given back",
        run: c3,
    },
    Row {
        id: "C4",
        tried: "a million cheap calls",
        run: c4,
    },
    Row {
        id: "C5",
        tried: "a call that does not return",
        run: c5,
    },
    Row {
        id: "C6",
        tried: "as many slow calls at once as would fill the host's threads",
        run: c6,
    },
    Row {
        id: "C7",
        tried: "callers who hang up at every moment of a request",
        run: c7,
    },
    Row {
        id: "C8",
        tried: "handles that are stale, foreign or made up",
        run: c8,
    },
    Row {
        id: "C9",
        tried: "every call with the least and the most that its types allow, to make the host panic",
        run: c9,
    },
    Row {
        id: "C10",
        tried: "files, sockets, environment and exit",
        run: c10,
    },
    Row {
        id: "C11",
        tried: "2^63 random bytes, and printing without end",
        run: c11,
    },
    Row {
        id: "C12",
        tried: "sleeping for an hour, alone and in a crowd",
        run: c12,
    },
];

fn c1(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "c1", &stage.guests.attacks)?;
    tenant.limit(&json!({ "cpu": stage.patient() }))?;
    let text = tenant
        .post("attacks", "/argument", &json!({ "bytes": 24 << 20 }))?
        .is("502 plugin-limit")?;
    let list = tenant
        .post("attacks", "/list", &json!({ "items": 700_000 }))?
        .is("502 plugin-limit")?;
    Ok(format!("text: {}, list: {}", text.seen(), list.seen()))
}

fn c2(stage: &Stage) -> Seen {
    let resource = "(type $r (resource (rep i32))) (core func $new (canon resource.new $r))
        (core instance $host (export \"new\" (func $new)))";
    let body = format!(
        "(loop (drop (call $new (i32.const 1)))
           (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 200000)))) {ANSWER}"
    );
    let import = "(import \"host\" \"new\" (func $new (param i32) (result i32)))";
    raw_with_host(stage, "c2", resource, import, &body, "502 plugin-limit")
}

fn c3(stage: &Stage) -> Seen {
    let clock = "(import \"wasi:io/poll@0.2.0\" (instance $poll (export \"pollable\" (type (sub resource)))))
        (alias export $poll \"pollable\" (type $pollable))
        (import \"wasi:clocks/monotonic-clock@0.2.0\" (instance $clock
          (alias outer 1 $pollable (type $p)) (export \"pollable\" (type $q (eq $p)))
          (export \"subscribe-duration\" (func (param \"when\" u64) (result (own $q))))))
        (core func $wait (canon lower (func $clock \"subscribe-duration\")))
        (core instance $host (export \"wait\" (func $wait)))";
    let body = format!(
        "(loop (drop (call $wait (i64.const 3600000000000)))
           (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000)))) {ANSWER}"
    );
    let import = "(import \"host\" \"wait\" (func $wait (param i64) (result i32)))";
    raw_with_host(stage, "c3", clock, import, &body, "502 plugin-limit")
}

/// Runs a component whose core module imports from the core instance `$host`, and checks the reply.
fn raw_with_host(stage: &Stage, name: &str, host: &str, import: &str, body: &str, wanted: &str) -> Seen {
    let component = wasm::component(&format!(
        "{host} (core module $code {import} (memory (export \"memory\") 2) {REALLOC} {DONE} {})
         (core instance $core (instantiate $code (with \"host\" (instance $host))))",
        wasm::handle(body)
    ))?;
    let tenant = stage.plain()?.tenant(name)?;
    tenant.deploy(&Recipe::from_bytes("raw", component).guest())?;
    let reply = tenant.get("raw", "/")?.is(wanted)?;
    let log = tenant.log(&reply)?;
    let why = log
        .last()
        .and_then(|line| line["message"].as_str())
        .unwrap_or_default();
    let why = why.rsplit(": ").next().unwrap_or_default();
    Ok(format!(
        "{} ({})",
        reply.seen(),
        why.lines().next().unwrap_or_default()
    ))
}

fn c4(stage: &Stage) -> Seen {
    let typed = attacker(stage, "c4", &stage.guests.capabilities)?;
    let answer = typed
        .post("capabilities", "/host-calls", &json!({ "calls": 1_000_000 }))?
        .is("200")?
        .body()?;
    ensure!(answer["made"] == 1_000 && answer["error"].is_string(), "{answer}");
    let untyped = attacker(stage, "c4-untyped", &stage.guests.attacks)?;
    let reply = untyped.post("attacks", "/untyped-calls", &json!({ "calls": 1_000_000 }))?;
    let reply = reply.is("502 plugin-limit")?;
    let made = untyped.record(&reply)?["usage"]["host_calls"]
        .as_u64()
        .context("a number of host calls")?;
    ensure!(made <= 1_001, "{made} calls were made");
    Ok(format!(
        "typed error after 1000; without one {} after {made}",
        reply.seen()
    ))
}

fn c5(stage: &Stage) -> Seen {
    let host = stage.open()?;
    let tenant = host.tenant("c5")?;
    tenant.limit(&json!({ "wall": "700ms" }))?;
    for guest in [
        &stage.guests.http_client,
        &stage.guests.attacks,
        &stage.guests.database,
    ] {
        tenant.deploy(guest)?;
    }
    let begin = now();
    let request = json!({ "url": stage.server.url("/never") });
    // The call ends with the invocation, with its own error or the invocation's.
    let http = tenant
        .post("http-client", "/send", &request)?
        .is("504 plugin-timeout|200")?;
    let sql = tenant
        .get("attacks", "/hold-transaction")?
        .is("504 plugin-timeout")?;
    ensure!(
        begin.elapsed() < Duration::from_secs(20),
        "it took {:?}",
        begin.elapsed()
    );
    Ok(format!("http: {}, transaction: {}", http.seen(), sql.seen()))
}

fn c6(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = attacker(stage, "c6", &stage.guests.database)?;
    tenant.limit(&json!({ "sql_time": "1s" }))?;
    let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
    let slowest = at_once(33, |index| {
        if index > 0 {
            return tenant
                .post("database", "/query", &json!({ "sql": endless }))
                .map(|_| Duration::ZERO);
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let begin = now();
            host.serves_the_good_tenant()?;
            slowest = slowest.max(begin.elapsed());
            pass(Duration::from_millis(20));
        }
        Ok(slowest)
    });
    let slowest: Vec<Duration> = slowest.into_iter().collect::<anyhow::Result<_>>()?;
    Ok(format!(
        "20 requests of the good tenant answered, the slowest in {}",
        spoken(slowest[0])
    ))
}

fn c7(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = attacker(stage, "c7", &stage.guests.attacks)?;
    tenant.limit(&json!({ "wall": "3s" }))?;
    tenant.deploy(&stage.guests.database)?;
    let body = "{}";
    let request = format!(
        "POST /{}/attacks/hold-transaction HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        tenant.name,
        body.len()
    );
    let cuts = stage.scaled(20, 100);
    for cut in 0..cuts {
        let mut wire = Wire::connect(host.public)?;
        let sent = if cut % 2 == 0 {
            request.len()
        } else {
            request.len() * cut / cuts
        };
        wire.send(&request.as_bytes()[..sent]);
        // Some reach their transaction, some wait for the one before them.
        pass(Duration::from_millis(stage.random(30)));
        // A client that only stops sending may still wait for its response, so the connection is
        // reset.
        wire.reset();
    }
    let count = json!({ "sql": "SELECT count(*) FROM notes" });
    let answer = tenant.post("database", "/query", &count)?.is("200")?.body()?;
    ensure!(
        answer["ok"]["rows"] == json!([[1]]),
        "a transaction that nobody committed: {answer}"
    );
    let insert = json!({ "sql": "INSERT INTO notes (body) VALUES ('after')" });
    let answer = tenant.post("database", "/execute", &insert)?.is("200")?.body()?;
    ensure!(answer["ok"] == 1, "{answer}");
    let records = tenant.records(200)?;
    let abandoned = records
        .iter()
        .filter(|record| record["code"] == "abandoned")
        .count();
    ensure!(abandoned > 0, "no record of a caller who went away: {records:?}");
    Ok(format!(
        "{cuts} hung up, {abandoned} of them recorded as abandoned, no row left behind"
    ))
}

fn c8(stage: &Stage) -> Seen {
    let resources = "(type $r (resource (rep i32))) (type $other (resource (rep i32)))
        (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
        (core func $rep (canon resource.rep $r)) (core func $foreign (canon resource.drop $other))
        (core instance $host (export \"new\" (func $new)) (export \"drop\" (func $drop))
          (export \"rep\" (func $rep)) (export \"foreign\" (func $foreign)))";
    let import = "(import \"host\" \"new\" (func $new (param i32) (result i32)))
        (import \"host\" \"drop\" (func $drop (param i32))) (import \"host\" \"foreign\" (func $foreign (param i32)))
        (import \"host\" \"rep\" (func $rep (param i32) (result i32)))";
    let new = "(local.set $i (call $new (i32.const 1)))";
    for (name, body) in [
        (
            "stale",
            format!("{new} (call $drop (local.get $i)) (drop (call $rep (local.get $i)))"),
        ),
        (
            "twice",
            format!("{new} (call $drop (local.get $i)) (call $drop (local.get $i))"),
        ),
        ("foreign", format!("{new} (call $foreign (local.get $i))")),
        ("invented", "(call $drop (i32.const 4711))".to_owned()),
        ("wild", "(call $drop (i32.const -1))".to_owned()),
    ] {
        raw_with_host(
            stage,
            &format!("c8-{name}"),
            resources,
            import,
            &format!("{body} {ANSWER}"),
            "502 plugin-trapped",
        )
        .context(name)?;
    }
    Ok("502 plugin-trapped for each of 5, and for nobody else".to_owned())
}

fn c9(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "c9", &stage.guests.attacks)?;
    tenant.limit(&json!({ "cpu": stage.patient(), "log_bytes": "1MiB" }))?;
    let reply = tenant.post("attacks", "/extremes", &json!({}))?.is("200")?;
    Ok(format!(
        "{} calls, no panic in the host's log",
        reply.body()?["made"]
    ))
}

fn c10(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "c10", &stage.guests.wasi)?;
    let mut refused = 0;
    for (path, attempts) in [
        ("/files", ["read", "list", "write"]),
        ("/network", ["connect", "resolve", "bind"]),
    ] {
        let answer = tenant.get("wasi", path)?.is("200")?.body()?;
        for attempt in attempts {
            // Null would mean that the attempt succeeded.
            ensure!(answer[attempt].is_string(), "{attempt}: {answer}");
            refused += 1;
        }
    }
    let environment = tenant.get("wasi", "/environment")?.is("200")?.body()?;
    ensure!(
        environment == json!({ "variables": [], "arguments": [] }),
        "{environment}"
    );
    let exit = tenant.get("wasi", "/exit")?.is("502 plugin-trapped")?;
    Ok(format!(
        "{refused} attempts refused, nothing in the environment, exit: {}",
        exit.seen()
    ))
}

fn c11(stage: &Stage) -> Seen {
    let random = "(import \"wasi:random/random@0.2.0\" (instance $random
          (export \"get-random-bytes\" (func (param \"len\" u64) (result (list u8))))))
        (core module $lib (memory (export \"memory\") 2) (func (export \"realloc\") (param i32 i32 i32 i32) (result i32)
          (i32.const 65536)))
        (core instance $lib (instantiate $lib))
        (core func $bytes (canon lower (func $random \"get-random-bytes\") (memory (core memory $lib \"memory\"))
          (realloc (core func $lib \"realloc\"))))
        (core instance $host (export \"bytes\" (func $bytes)))";
    let import = "(import \"host\" \"bytes\" (func $bytes (param i64 i32)))";
    let body = format!("(call $bytes (i64.const 0x7fffffffffffffff) (i32.const 2048)) {ANSWER}");
    let random = raw_with_host(stage, "c11", random, import, &body, "502 plugin-trapped")?;
    let tenant = attacker(stage, "c11-print", &stage.guests.wasi)?;
    let reply = tenant.get("wasi", "/print-much")?.is("200")?;
    let log = tenant.log(&reply)?;
    let kept: usize = log
        .iter()
        .filter_map(|line| line["message"].as_str())
        .map(str::len)
        .sum();
    ensure!((1..=64 << 10).contains(&kept), "{kept} bytes of 4 MiB were kept");
    Ok(format!(
        "random: {random}; {} KiB of 4 MiB printed were kept",
        kept >> 10
    ))
}

fn c12(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "c12", &stage.guests.faults)?;
    tenant.limit(&json!({ "wall": "500ms", "queue": 0 }))?;
    let alone = tenant.get("faults", "/sleep")?.is("504 plugin-timeout")?;
    let usage: Value = tenant.record(&alone)?["usage"].clone();
    let replies = at_once(64, |_| tenant.get("faults", "/sleep"));
    let mut turned_away = 0;
    for reply in replies {
        turned_away += u32::from(
            reply?
                .is("504 plugin-timeout|503 overloaded|503 plugin-unhealthy")?
                .status
                == 503,
        );
    }
    Ok(format!(
        "{} after {} µs of CPU; of 64 at once {turned_away} were turned away",
        alone.seen(),
        usage["cpu_us"]
    ))
}
