//! B: attacks by guest code.

use rig::clock::{now, pass, spoken};
use rig::guest::{Guest, Recipe};
use rig::host::Host;
use rig::tenant::Tenant;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use load::{Call, ClosedLoop};
use serde_json::{Value, json};

use crate::catalogue::{Row, Seen};
use crate::stage::{GOOD_PATH, Stage, WithGoodTenant as _, at_once};
use rig::wasm::{self, ANSWER, DONE, MEMORY, REALLOC};
use rig::wire::Wire;

pub const ROWS: [Row; 14] = [
    Row {
        id: "B1",
        tried: "an endless loop in the handler",
        run: b1,
    },
    Row {
        id: "B2",
        tried: "an endless loop in the start function",
        run: b2,
    },
    Row {
        id: "B3",
        tried: "endless loops in realloc and after the response",
        run: b3,
    },
    Row {
        id: "B4",
        tried: "guest code where no request runs: upload, activation, a plugin without routes",
        run: b4,
    },
    Row {
        id: "B5",
        tried: "recursion without end",
        run: b5,
    },
    Row {
        id: "B6",
        tried: "megabytes copied and filled in one instruction, again and again",
        run: b6,
    },
    Row {
        id: "B7",
        tried: "4 GiB of memory, asked for at run time and declared",
        run: b7,
    },
    Row {
        id: "B8",
        tried: "many memories and tables that are too much together",
        run: b8,
    },
    Row {
        id: "B9",
        tried: "twice as many parked guests as the pool has instances",
        run: b9,
    },
    Row {
        id: "B10",
        tried: "memory, table, globals and stack full of a canary, then another tenant's look at its own",
        run: b10,
    },
    Row {
        id: "B11",
        tried: "16 endless loops of one tenant",
        run: b11,
    },
    Row {
        id: "B12",
        tried: "requests after traps, time-outs and callers who went away",
        run: b12,
    },
    Row {
        id: "B13",
        tried: "a plugin that traps on every request",
        run: b13,
    },
    Row {
        id: "B14",
        tried: "a fine clock and threads, to time other tenants with",
        run: b14,
    },
];

/// A tenant with this component as its plugin `raw`.
fn raw(host: &Host, name: &str, component: Vec<u8>) -> anyhow::Result<Tenant> {
    let tenant = host.tenant(name)?;
    tenant.deploy(&Recipe::from_bytes("raw", component).guest())?;
    Ok(tenant)
}

/// A tenant of the plain host with a guest.
pub fn attacker(stage: &Stage, name: &str, guest: &Guest) -> anyhow::Result<Tenant> {
    let tenant = stage.plain()?.tenant(name)?;
    tenant.deploy(guest)?;
    Ok(tenant)
}

/// The CPU time of a record, formatted.
fn cpu(record: &Value) -> String {
    spoken(Duration::from_micros(
        record["usage"]["cpu_us"].as_u64().unwrap_or(0),
    ))
}

fn b1(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "b1", &stage.guests.faults)?;
    let reply = tenant.get("faults", "/loop")?.is("504 plugin-cpu")?;
    let record = tenant.record(&reply)?;
    ensure!(record["blame"] == "limit", "{record}");
    let used = record["usage"]["cpu_us"].as_u64().context("a CPU time")?;
    ensure!(used >= stage.cpu_us(), "{record}");
    Ok(format!("{}, {} of CPU", reply.seen(), cpu(&record)))
}

fn b2(stage: &Stage) -> Seen {
    let component = wasm::handler("(func $start (loop (br 0))) (start $start)", ANSWER)?;
    let tenant = raw(stage.plain()?, "b2", component)?;
    let reply = tenant.get("raw", "/")?.is("504 plugin-cpu")?;
    Ok(format!(
        "{}, {} of CPU",
        reply.seen(),
        cpu(&tenant.record(&reply)?)
    ))
}

fn b3(stage: &Stage) -> Seen {
    let realloc =
        "(func (export \"realloc\") (param i32 i32 i32 i32) (result i32) (loop (br 0)) (i32.const 0))";
    let done = "(func (export \"done\") (param i32) (loop (br 0)))";
    let handle = wasm::handle(ANSWER);
    let mut seen = Vec::new();
    for (name, realloc, done) in [("b3-realloc", realloc, DONE), ("b3-done", REALLOC, done)] {
        let tenant = raw(
            stage.plain()?,
            name,
            wasm::module(&format!("{MEMORY} {realloc} {done} {handle}"))?,
        )?;
        seen.push(tenant.get("raw", "/")?.is("504 plugin-cpu")?.seen());
    }
    Ok(seen.join(", "))
}

fn b4(stage: &Stage) -> Seen {
    let component = wasm::handler("(func $start (loop (br 0))) (start $start)", ANSWER)?;
    let tenant = stage.plain()?.tenant("b4")?;
    let guest = Recipe::from_bytes("raw", component).without_routes().guest();
    let begin = now();
    tenant.deploy(&guest)?;
    tenant.get("raw", "/")?.is("404 not-found")?;
    let records = tenant.records(10)?;
    ensure!(records.is_empty(), "something ran: {records:?}");
    Ok(format!(
        "deployed in {} without running any of it",
        spoken(begin.elapsed())
    ))
}

fn b5(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "b5", &stage.guests.faults)?;
    let reply = tenant.get("faults", "/recursion")?.is("502 plugin-trapped")?;
    // This overflows the native stack, not the linear memory.
    let raw = raw(
        stage.plain()?,
        "b5-raw",
        wasm::handler("(func $down (call $down))", &format!("(call $down) {ANSWER}"))?,
    )?;
    raw.get("raw", "/")?.is("502 plugin-trapped")?;
    Ok(reply.seen())
}

fn b6(stage: &Stage) -> Seen {
    let grown = "(drop (memory.grow (i32.const 900)))";
    let table = "(table $t 10000 10000 funcref) (func $f) (elem declare func $f)";
    let mut seen = Vec::new();
    for (name, parts, instruction) in [
        (
            "copy",
            "",
            "(memory.copy (i32.const 0) (i32.const 30000000) (i32.const 28000000))",
        ),
        (
            "fill",
            "",
            "(memory.fill (i32.const 4096) (i32.const 7) (i32.const 58000000))",
        ),
        (
            "table",
            table,
            "(table.fill $t (i32.const 0) (ref.func $f) (i32.const 10000))",
        ),
    ] {
        let component = wasm::handler(parts, &format!("{grown} (loop {instruction} (br 0)) {ANSWER}"))?;
        let tenant = raw(stage.plain()?, &format!("b6-{name}"), component)?;
        let reply = tenant.get("raw", "/")?.is("504 plugin-cpu")?;
        seen.push(format!("{name} {}", cpu(&tenant.record(&reply)?)));
    }
    let tenant = attacker(stage, "b6", &stage.guests.attacks)?;
    tenant
        .post("attacks", "/copy", &json!({}))?
        .is("504 plugin-cpu")?;
    Ok(format!("504 plugin-cpu; CPU: {}", seen.join(", ")))
}

fn b7(stage: &Stage) -> Seen {
    let plain = stage.plain()?;
    // The guest answers 200 only if the host refused the memory.
    let body =
        format!("(if (i32.ne (memory.grow (i32.const 65000)) (i32.const -1)) (then unreachable)) {ANSWER}");
    raw(plain, "b7", wasm::handler("", &body)?)?
        .get("raw", "/")?
        .is("200")?;
    let declared = wasm::module(&format!(
        "(memory (export \"memory\") 65536) {REALLOC} {DONE} {}",
        wasm::handle(ANSWER)
    ))?;
    let tenant = plain.tenant("b7-declared")?;
    let refused = tenant.upload("raw", &Recipe::from_bytes("raw", declared).guest().component)?;
    let refused = refused.is("422 invalid-component|422 compile-limit")?;
    let hoarder = attacker(stage, "b7-hoard", &stage.guests.faults)?;
    hoarder.limit(&json!({ "cpu": stage.patient() }))?;
    let reply = hoarder.get("faults", "/memory")?.is("502 plugin-memory")?;
    let peak = hoarder.record(&reply)?["usage"]["memory_bytes"]
        .as_u64()
        .unwrap_or(u64::MAX);
    ensure!(peak <= 64 << 20, "a peak of {peak} bytes");
    Ok(format!(
        "grow −1; declared: {}; hoard: {} at {} MiB",
        refused.seen(),
        reply.seen(),
        peak >> 20
    ))
}

fn b8(stage: &Stage) -> Seen {
    let plain = stage.plain()?;
    let upload = |name: &str, component: Vec<u8>| {
        plain
            .tenant(name)?
            .upload("raw", &Recipe::from_bytes("raw", component).guest().component)
    };
    let memories = wasm::handler("(memory 1) (memory 1) (memory 1)", ANSWER)?;
    let memories = upload("b8-memories", memories)?.is("422 invalid-component")?;
    let tables = "(table 20000 funcref)".repeat(9);
    upload("b8-tables", wasm::handler(&tables, ANSWER)?)?.is("422 invalid-component")?;
    let modules = format!(
        "(core module $more (memory 1)) {}",
        "(core instance (instantiate $more))".repeat(20)
    );
    let code = format!("{MEMORY} {REALLOC} {DONE} {}", wasm::handle(ANSWER));
    let code = format!("(core module $code {code}) (core instance $core (instantiate $code))");
    upload("b8-instances", wasm::component(&format!("{modules} {code}"))?)?.is("422 invalid-component")?;
    // Each memory is allowed alone; together they exceed the tenant's 64 MiB.
    let two = format!("(core module $more (memory 640)) (core instance (instantiate $more)) {code}");
    let two = two.replace(
        "(memory (export \"memory\") 2)",
        "(memory (export \"memory\") 640)",
    );
    let reply = raw(plain, "b8", wasm::component(&two)?)?
        .get("raw", "/")?
        .is("502 plugin-memory")?;
    Ok(format!(
        "declared: {}; together: {}",
        memories.seen(),
        reply.seen()
    ))
}

fn b9(stage: &Stage) -> Seen {
    const INSTANCES: usize = 16;
    let host = stage.fresh(&stage.launch().set("runtime.instances", "16"))?;
    let names = ["b9-a", "b9-b", "b9-c", "b9-d"];
    let tenants = names.map(|name| {
        let tenant = host.tenant(name)?.keep();
        tenant.limit(&json!({ "wall": "1s", "queue_wait": "200ms" }))?;
        tenant.deploy(&stage.guests.faults)?;
        anyhow::Ok(tenant)
    });
    let tenants: Vec<Tenant> = tenants.into_iter().collect::<anyhow::Result<_>>()?;
    let statuses = at_once(2 * INSTANCES + 1, |index| match index {
        0 => {
            pass(Duration::from_millis(300));
            host.http().get(GOOD_PATH)
        }
        _ => tenants[index % tenants.len()].get("faults", "/sleep"),
    });
    let mut good = String::new();
    for (index, reply) in statuses.into_iter().enumerate() {
        match index {
            0 => good = reply?.is("200|503 overloaded")?.seen(),
            _ => reply?.is("504 plugin-timeout|503 overloaded").map(|_| ())?,
        }
    }
    host.serves_the_good_tenant()?;
    host.stop()?;
    Ok(format!(
        "parked: 504 or 503; the good tenant meanwhile: {good}, and 200 right after"
    ))
}

fn b10(stage: &Stage) -> Seen {
    let swaps = stage.scaled(50, 500);
    let (filler, scanner) = canaries(stage.plain()?, stage.patient())?;
    for swap in 0..swaps {
        filler
            .get("raw", "/fill")?
            .is("200")
            .with_context(|| format!("swap {swap}, the filler"))?;
        scanner
            .get("raw", "/scan")?
            .is("200")
            .with_context(|| format!("swap {swap}, the scan"))?;
    }
    Ok(format!("{swaps} swaps, nothing found"))
}

/// Two tenants with the same plugin. `/fill` fills all its memory with a canary; `/scan` answers
/// 200 only if everything is fresh.
pub fn canaries(host: &Host, patient: &str) -> anyhow::Result<(Tenant, Tenant)> {
    let component = wat_canary()?;
    let tenants = (
        raw(host, "canary-a", component.clone())?,
        raw(host, "canary-b", component)?,
    );
    for tenant in [&tenants.0, &tenants.1] {
        tenant.limit(&json!({ "cpu": patient, "requests_per_second": 100_000, "request_burst": 100_000 }))?;
    }
    Ok(tenants)
}

fn wat_canary() -> anyhow::Result<Vec<u8>> {
    // Pages 2 to 130 are grown; the module itself has no data there. The third field of the request
    // is the address of the path.
    let parts = "
        (table $t 5000 20000 funcref) (func $f) (elem declare func $f)
        (global $a (mut i64) (i64.const 0)) (global $b (mut i32) (i32.const 0)) (global $c (mut f64) (f64.const 0))
        (func $down (param i64 i64 i64 i64 i32) (result i64)
          (if (result i64) (i32.eqz (local.get 4))
            (then (local.get 0))
            (else (i64.add (local.get 3)
              (call $down (local.get 1) (local.get 2) (local.get 3) (local.get 0) (i32.sub (local.get 4) (i32.const 1)))))))";
    let canary = "(i64.const 0x4d4f525449534521)";
    let body = format!(
        "(drop (memory.grow (i32.const 128)))
        (if (i32.eq (i32.load8_u (i32.add (i32.load offset=16 (local.get 0)) (i32.const 1))) (i32.const 102))
          (then
            (global.set $a {canary}) (global.set $b (i32.const 0x4d4f5254)) (global.set $c (f64.const 7.5))
            (drop (table.grow $t (ref.func $f) (i32.const 15000)))
            (table.fill $t (i32.const 0) (ref.func $f) (i32.const 20000))
            (drop (call $down {canary} {canary} {canary} {canary} (i32.const 2000)))
            (memory.fill (i32.const 131072) (i32.const 0xc5) (i32.const 8388608)))
          (else
            (if (i64.ne (global.get $a) (i64.const 0)) (then unreachable))
            (if (global.get $b) (then unreachable))
            (if (f64.ne (global.get $c) (f64.const 0)) (then unreachable))
            (if (i32.ne (table.size $t) (i32.const 5000)) (then unreachable))
            (loop $table
              (if (i32.eqz (ref.is_null (table.get $t (local.get $i)))) (then unreachable))
              (br_if $table (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 5000))))
            (local.set $i (i32.const 131072))
            (loop $memory
              (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
              (br_if $memory (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 8519680))))))
        {ANSWER}"
    );
    wasm::handler(parts, &body)
}

fn b11(stage: &Stage) -> Seen {
    // On this host the circuit breaker does not stop them.
    let host = stage.measured()?;
    let tenant = host.tenant("b11")?;
    tenant.deploy(&stage.guests.faults)?;
    let call = Call::get(host.public, &format!("/{}/faults/loop", tenant.name));
    let loops = ClosedLoop::new(call, 16, Duration::from_secs(60)).start()?;
    pass(Duration::from_millis(200));
    let begin = now();
    let mut answered = 0;
    let failed = loop {
        match host.serves_the_good_tenant() {
            Ok(()) => answered += 1,
            Err(error) => break Some(error),
        }
        if answered == stage.scaled(50, 500) {
            break None;
        }
    };
    let took = begin.elapsed();
    let report = loops.stop();
    if let Some(error) = failed {
        return Err(error.context(format!("after {answered} answers")));
    }
    ensure!(
        report.latency(504).count() > 0,
        "no loop was ended: {}",
        report.trouble()
    );
    Ok(format!(
        "{answered} requests of the good tenant answered in {} beside {}",
        spoken(took),
        report.trouble()
    ))
}

fn b12(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = attacker(stage, "b12", &stage.guests.faults)?;
    let mut seen = 0;
    for round in 0..stage.scaled(5, 30) {
        let path = ["/trap", "/loop", "/recursion", "/panic"][round % 4];
        tenant
            .get("faults", path)?
            .is("502 plugin-trapped|504 plugin-cpu|503 plugin-unhealthy")?;
        let mut wire = Wire::connect(host.public)?;
        wire.send(format!(
            "GET /{}/faults/loop HTTP/1.1\r\nhost: x\r\n\r\n",
            tenant.name
        ));
        drop(wire);
        for _ in 0..4 {
            tenant.get("faults", "/fine")?.is("200|503 plugin-unhealthy")?;
            host.serves_the_good_tenant()?;
            seen += 1;
        }
    }
    Ok(format!("{seen} requests in between, all answered"))
}

fn b13(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "b13", &stage.guests.faults)?;
    let mut traps = 0;
    let refused = loop {
        let reply = tenant.get("faults", "/trap")?;
        if reply.status == 503 {
            break reply.is("503 plugin-unhealthy")?;
        }
        reply.is("502 plugin-trapped")?;
        traps += 1;
        ensure!(traps < 500, "500 traps in a row, and the next one would run too");
    };
    ensure!(!refused.header("retry-after").is_empty(), "no retry-after");
    let plugin = stage
        .plain()?
        .admin()
        .get(&tenant.path("/plugins/faults"))?
        .ok()?;
    let shown = plugin.to_string();
    ensure!(
        shown.contains("unhealthy") || shown.contains("health"),
        "the admin API does not show it: {shown}"
    );
    Ok(format!(
        "{} after {traps} traps, shown in the admin API",
        refused.seen()
    ))
}

fn b14(stage: &Stage) -> Seen {
    let tenant = attacker(stage, "b14", &stage.guests.attacks)?;
    let step = tenant.post("attacks", "/clock", &json!({}))?.is("200")?.body()?;
    let nanoseconds = step.as_u64().context("a step of the clock")?;
    ensure!(
        nanoseconds >= 1_000_000,
        "the clock has steps of {nanoseconds} ns"
    );
    let threads = wasm::module(&format!(
        "(memory (export \"memory\") 2 2 shared) {REALLOC} {DONE} {}",
        wasm::handle(ANSWER)
    ))?;
    let refused = tenant.upload("raw", &Recipe::from_bytes("raw", threads).guest().component)?;
    let refused = refused.is("422 invalid-component")?;
    Ok(format!(
        "steps of {} ms; shared memory: {}",
        nanoseconds / 1_000_000,
        refused.seen()
    ))
}
