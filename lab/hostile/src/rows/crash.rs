//! K: crashes, machine faults, draining and starting.

use rig::clock::{now, pass, spoken, until};
use rig::guest::{Guest, Recipe};
use rig::host::Host;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rig::process::descriptors;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::json;

use crate::catalogue::{Row, Seen};
use crate::stage::{GOOD_PATH, Stage, WithGoodTenant as _, at_once};
use rig::wasm::{self, ANSWER};
use rig::wire::Wire;

pub const ROWS: [Row; 4] = [
    Row {
        id: "K1",
        tried: "kill -9 in uploads, activations, migrations, keys, secrets and deletions",
        run: k1,
    },
    Row {
        id: "K3",
        tried: "no descriptors left, folders that cannot be written",
        run: k3,
    },
    Row {
        id: "K4",
        tried: "SIGTERM with 100 calls and an endless stream",
        run: k4,
    },
    Row {
        id: "K6",
        tried: "a start with many plugins and a cold cache",
        run: k6,
    },
];

/// The host is killed within this time after the first change.
const MAX_DELAY_MS: u64 = 800;

fn k1(stage: &Stage) -> Seen {
    let mut folder = stage.fresh(&stage.launch())?.stop()?;
    let rounds = stage.scaled(4, 40);
    let echo = &stage.guests.echo;
    let (mut acknowledged, mut interrupted) = (0_u64, 0);
    for round in 1..=rounds {
        let host = stage.launch().start_on(folder)?;
        let name = format!("round-{round}");
        let done = AtomicU64::new(0);
        let began = AtomicU64::new(0);
        let delay = Duration::from_millis(30 + stage.random(MAX_DELAY_MS));
        folder = std::thread::scope(|scope| {
            let changes = scope.spawn(|| {
                // The thread ends at the first change that fails because the host is gone.
                let _ = changes(echo, &host, &name, &began, &done);
            });
            pass(delay);
            // Only the process is killed: its folder and its client are still in use.
            host.signal(Signal::KILL)?;
            changes
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            anyhow::Ok(())
        })
        .and_then(|()| host.kill())?;
        let (began, done) = (began.into_inner(), done.into_inner());
        interrupted += u64::from(began > done);
        let host = stage
            .launch()
            .start_on(folder)
            .with_context(|| format!("round {round}"))?;
        acknowledged +=
            found(&host, &name, done).with_context(|| format!("round {round}, after {done} changes"))?;
        host.serves_the_good_tenant()
            .with_context(|| format!("round {round}"))?;
        folder = host.kill()?;
    }
    ensure!(
        interrupted * 2 >= rounds,
        "only {interrupted} of {rounds} kills came in the middle of something"
    );
    Ok(format!(
        "{rounds} kills, {interrupted} in the middle of a change; {acknowledged} changes acknowledged and found"
    ))
}

/// Makes one change after the other, and counts those that were begun and acknowledged.
fn changes(echo: &Guest, host: &Host, name: &str, began: &AtomicU64, done: &AtomicU64) -> Result<()> {
    let step = |change: &dyn Fn() -> Result<()>| -> Result<()> {
        began.fetch_add(1, Ordering::SeqCst);
        change()?;
        done.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    let tenant = host.known(name);
    step(&|| {
        host.admin()
            .post("/api/v1/tenants", &json!({ "name": name }))?
            .is("201")
            .map(|_| ())
    })?;
    for index in 0.. {
        let sql = format!("CREATE TABLE t{index} (a)");
        let all: Vec<String> = (0..index)
            .map(|index| format!("CREATE TABLE t{index} (a)"))
            .chain([sql])
            .collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let guest = Recipe::of(test_artifacts::DATABASE)?
            .version(&format!("1.{index}.0"))
            .database(&all)
            .guest();
        step(&|| tenant.deploy(&guest).map(|_| ()))?;
        step(&|| tenant.secret("secret", &format!("value {index}")))?;
        step(&|| tenant.key(&[]).map(|_| ()))?;
        let other = format!("{name}-{index}");
        step(&|| {
            host.admin()
                .post("/api/v1/tenants", &json!({ "name": other }))?
                .is("201")
                .map(|_| ())
        })?;
        host.known(&other).deploy(echo)?;
        step(&|| host.known(&other).delete())?;
    }
    Ok(())
}

/// Checks that acknowledged changes exist: the tenant, and its plugin in its last version or the
/// one before.
fn found(host: &Host, name: &str, done: u64) -> Result<u64> {
    if done == 0 {
        return Ok(0);
    }
    let tenant = host.known(name);
    host.admin()
        .get(&tenant.path(""))?
        .is("200")
        .context("the tenant")?;
    // A deployment is the second of every five changes.
    let deployed = (done + 3) / 5;
    if deployed > 0 {
        let table = format!("SELECT count(*) FROM t{}", deployed - 1);
        let answer = tenant
            .post("database", "/query", &json!({ "sql": table }))?
            .is("200")?
            .body()?;
        ensure!(
            answer["ok"].is_object(),
            "an acknowledged migration is not there: {answer}"
        );
        let activation = host
            .admin()
            .get(&tenant.path("/plugins/database/activation"))?
            .ok()?;
        ensure!(activation.to_string().contains("sha256:"), "{activation}");
    }
    if done >= 3 {
        let secrets = host.admin().get(&tenant.path("/secrets"))?.ok()?.to_string();
        ensure!(
            secrets.contains("secret"),
            "an acknowledged secret is not there: {secrets}"
        );
    }
    // Interrupted changes can be repeated.
    tenant.secret("secret", "again")?;
    tenant.key(&[])?;
    Ok(done)
}

fn k3(stage: &Stage) -> Seen {
    let host = stage.fresh(&stage.launch())?;
    let process = i32::try_from(host.id()).ok().and_then(Pid::from_raw);
    let limit = |current: u64| {
        let before = prlimit(
            process,
            Resource::Nofile,
            Rlimit {
                current: Some(current),
                maximum: Some(4_096),
            },
        )?;
        anyhow::Ok(before)
    };
    let tenant = host.tenant("k3")?.keep();
    // All descriptors are in use: no connection can be accepted, and the host must recover.
    limit(descriptors(host.id())?)?;
    let crowd = std::thread::scope(|scope| {
        let crowd = scope.spawn(|| at_once(16, |_| host.http().get(GOOD_PATH)?.is("200")));
        let noticed = until("a connection that cannot be accepted", || {
            Ok(host.log().contains("could not be accepted").then_some(()))
        });
        limit(4_096)?;
        noticed?;
        anyhow::Ok(
            crowd
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    })?;
    // Some callers waited until descriptors were free, some were rejected; none waits without an
    // end.
    let answered = crowd.iter().filter(|reply| reply.is_ok()).count();
    until("an answer once there are descriptors again", || {
        Ok(host.serves_the_good_tenant().ok())
    })?;
    tenant.deploy(&stage.guests.database)?;

    // A folder is replaced by a file: every write fails, as on a full disk.
    let mut refused = Vec::new();
    for kind in ["compiled", "components"] {
        let (folder, aside) = (host.data().join(kind), host.data().join(format!("{kind}-aside")));
        std::fs::rename(&folder, &aside)?;
        std::fs::write(&folder, "")?;
        let reply = tenant.upload("faults", &stage.guests.faults.component)?;
        std::fs::remove_file(&folder)?;
        std::fs::rename(&aside, &folder)?;
        refused.push(reply.is("503 unavailable").context(kind)?.seen());
        host.serves_the_good_tenant()?;
    }
    tenant.deploy(&stage.guests.faults)?;
    tenant.get("faults", "/fine")?.is("200")?;
    host.stop()?;
    Ok(format!(
        "descriptors: {answered} of 16 answered, all of them again later; writes: {}",
        refused.join(", ")
    ))
}

fn k4(stage: &Stage) -> Seen {
    const CALLS: usize = 100;
    let mut host = stage.fresh(&stage.launch().set("server.drain_delay", "500ms"))?;
    let person = std::fs::read_to_string(host.data().join("operator.token"))?;
    let mut stream = Wire::connect(host.admin)?;
    stream.send(format!(
        "GET /api/v1/tenants/good/logs?follow=true HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        person.trim()
    ));
    stream.read_past("\r\n\r\n")?;
    let body = "said while the host drained";
    let mut calls = Vec::new();
    for _ in 0..CALLS {
        let mut wire = Wire::connect(host.public)?;
        wire.send(format!(
            "POST /good/echo/x HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\n\r\n",
            body.len()
        ));
        // The host asks for the body once the request is running.
        let answer = wire.read_past("\r\n\r\n")?;
        ensure!(answer.starts_with("HTTP/1.1 100"), "{answer}");
        calls.push(wire);
    }
    let begin = now();
    host.signal(Signal::TERM)?;
    let readiness = until("readiness to go", || {
        let reply = host.http().get("/-/readyz");
        match reply {
            Ok(reply) if reply.status == 200 => Ok(None),
            Ok(reply) => Ok(Some(reply.seen())),
            Err(_) => bail!("the host took no more connections before it said that it would not"),
        }
    })?;
    for wire in &mut calls {
        wire.send(body);
    }
    let mut answered = 0;
    for wire in calls {
        let answer = String::from_utf8_lossy(&wire.rest()?).into_owned();
        ensure!(
            answer.starts_with("HTTP/1.1 200") && answer.contains(body),
            "{answer}"
        );
        answered += 1;
    }
    stream.rest()?;
    let status = host.wait()?;
    let took = begin.elapsed();
    ensure!(
        status.success() && took < Duration::from_secs(30),
        "{status} after {took:?}"
    );
    Ok(format!(
        "{readiness} first; {answered} of {CALLS} answered; exit 0 after {}",
        spoken(took)
    ))
}

fn k6(stage: &Stage) -> Seen {
    const TENANTS: usize = 10;
    let each = stage.scaled(5, 100);
    let host = stage.fresh(&stage.launch())?;
    for index in 0..TENANTS {
        let tenant = host.tenant(&format!("many-{index}"))?.keep();
        for plugin in 0..each {
            // Each is a distinct component with its own code.
            let body = format!("(drop (i32.const {})) {ANSWER}", index * each + plugin);
            let name = format!("plugin-{plugin}");
            let guest = Recipe::from_bytes(&name, wasm::handler("", &body)?).guest();
            let version = tenant.upload(&name, &guest.component)?.ok()?["version"].clone();
            tenant
                .activate(&name, version.as_str().unwrap_or_default())?
                .ok()?;
        }
    }
    let folder = host.stop()?;
    let begin = now();
    let host = stage.launch().start_on(folder)?;
    let ready = begin.elapsed();
    let failed = AtomicBool::new(false);
    at_once(TENANTS, |index| {
        for plugin in 0..each {
            let reply = host
                .known(&format!("many-{index}"))
                .get(&format!("plugin-{plugin}"), "/");
            if !reply.is_ok_and(|reply| reply.status == 200) {
                failed.store(true, Ordering::Relaxed);
            }
        }
    });
    let all = begin.elapsed();
    ensure!(!failed.into_inner(), "not every plugin answered");
    ensure!(
        !host.log().contains("compiling again"),
        "something was compiled again"
    );
    ensure!(ready < Duration::from_secs(10), "ready after {ready:?}");
    host.stop()?;
    Ok(format!(
        "{} plugins: ready after {}, all of them answered after {}",
        TENANTS * each,
        spoken(ready),
        spoken(all)
    ))
}
