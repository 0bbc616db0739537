//! A4 to A10: attacks on the compiler and on stored compiled code.

use rig::clock::{now, pass, spoken, until};
use rig::guest::Recipe;
use rig::host::Host;
use rig::section::section;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::process::{children, resident};
use rustix::process::{Pid, Signal, kill_process};

use crate::catalogue::{Row, Seen};
use crate::stage::{GOOD_PATH, Stage, WithGoodTenant as _};
use rig::wasm::{self, COMPONENT};

pub const ROWS: [Row; 7] = [
    Row {
        id: "A4",
        tried: "3,000 loops within each other in 52 KB",
        run: a4,
    },
    Row {
        id: "A5",
        tried: "60,000 branches over 2,000 variables in one function",
        run: a5,
    },
    Row {
        id: "A6",
        tried: "200,000 tiny functions",
        run: a6,
    },
    Row {
        id: "A7",
        tried: "1,000 nested components, 1,000 instances, types nested 100 deep",
        run: a7,
    },
    Row {
        id: "A8",
        tried: "a compile worker that is killed, and one that answers garbage",
        run: a8,
    },
    Row {
        id: "A9",
        tried: "8 bytes of stored code flipped, and the file cut",
        run: a9,
    },
    Row {
        id: "A10",
        tried: "stored code of another host, and none at all",
        run: a10,
    },
];

/// The longest time of a rejection: the wall clock limit of a compilation, and a margin.
const REFUSAL: Duration = Duration::from_secs(60);

/// The allowed growth of the host while a bomb is compiled.
const FLAT: u64 = 64 << 20;

/// Uploads a bomb, which must be rejected, and watches the host's memory and the good tenant.
fn bomb(stage: &Stage, name: &str, component: Vec<u8>) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant(name)?;
    let guest = Recipe::from_bytes("bomb", component).without_routes().guest();
    let (before, begin) = (resident(host.id())?, now());
    let (reply, largest, answered) = std::thread::scope(|scope| {
        let upload = scope.spawn(|| tenant.upload("bomb", &guest.component));
        let (mut largest, mut answered) = (before, 0);
        while !upload.is_finished() {
            host.serves_the_good_tenant()?;
            answered += 1;
            largest = largest.max(resident(host.id())?);
            pass(Duration::from_millis(10));
        }
        let reply = upload
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        anyhow::Ok((reply, largest, answered))
    })?;
    let reply = reply.is("422 compile-limit|422 invalid-component")?;
    let took = begin.elapsed();
    ensure!(took < REFUSAL, "it took {took:?}");
    let grown = largest - before;
    ensure!(grown < FLAT, "the host grew by {} MiB", grown >> 20);
    Ok(format!(
        "{} after {}, the host {} MiB larger, the good tenant answered {answered} times",
        reply.seen(),
        spoken(took),
        grown >> 20
    ))
}

fn a4(stage: &Stage) -> Seen {
    bomb(stage, "a4", wasm::functions(1, &wasm::nested_loops(3_000)))
}

fn a5(stage: &Stage) -> Seen {
    bomb(
        stage,
        "a5",
        wasm::functions(1, &wasm::many_branches(60_000, 2_000)),
    )
}

fn a6(stage: &Stage) -> Seen {
    bomb(stage, "a6", wasm::functions(200_000, &[0, 0x0b]))
}

fn a7(stage: &Stage) -> Seen {
    let nested = (0..1_000).fold(COMPONENT.to_vec(), |inner, _| {
        [COMPONENT, &section(4, &inner)].concat()
    });
    let nested = bomb(stage, "a7-nested", nested)?;
    let instances = format!(
        "(core module $m) {} (core module $code {} {} {} {}) (core instance $core (instantiate $code))",
        "(core instance (instantiate $m))".repeat(1_000),
        wasm::MEMORY,
        wasm::REALLOC,
        wasm::DONE,
        wasm::handle(wasm::ANSWER),
    );
    bomb(stage, "a7-instances", wasm::component(&instances)?)?;
    let types: String = (1..=100)
        .map(|depth| format!("(type $t{depth} (tuple $t{p} $t{p}))", p = depth - 1))
        .collect();
    let types = format!("(type $t0 string) {types} (import \"x\" (func (param \"a\" $t100)))");
    let code = instances.replace(&"(core instance (instantiate $m))".repeat(1_000), "");
    bomb(stage, "a7-types", wasm::component(&format!("{types} {code}"))?)?;
    Ok(format!("each refused; nested: {nested}"))
}

fn a8(stage: &Stage) -> Seen {
    let host = stage.plain()?;
    let tenant = host.tenant("a8")?;
    let bomb = wasm::functions(400, &wasm::nested_loops(1_000));
    let guest = Recipe::from_bytes("bomb", bomb).without_routes().guest();
    let killed = std::thread::scope(|scope| {
        let upload = scope.spawn(|| tenant.upload("bomb", &guest.component));
        let worker = until("the start of a compile worker", || {
            Ok(children(host.id())?.first().copied())
        })?;
        let worker = i32::try_from(worker)
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id")?;
        kill_process(worker, Signal::KILL)?;
        upload
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    ensure!(killed.status >= 400, "{}", killed.seen());
    let versions = host.admin().get(&tenant.path("/plugins/bomb/versions"))?;
    ensure!(
        versions.status == 404 || versions.body()?["items"] == serde_json::json!([]),
        "{}",
        versions.text()
    );
    tenant.deploy(&stage.guests.echo)?;
    let garbage = worker_of_garbage(stage)?;
    Ok(format!(
        "killed: {}; garbage: {garbage}; nothing was kept",
        killed.seen()
    ))
}

/// Starts a host and then replaces its executable by a program that writes garbage, so that its
/// compile workers fail.
fn worker_of_garbage(stage: &Stage) -> Seen {
    let folder = tempfile::tempdir()?;
    let executable = folder.path().join("mortise");
    std::fs::copy(stage.executable(), &executable)?;
    let host = stage.fresh(&stage.launch().executable(&executable))?;
    let script = folder.path().join("garbage");
    std::fs::write(&script, "#!/bin/sh\ncat >/dev/null\nhead -c 100000 /dev/zero\n")?;
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    std::fs::rename(&script, &executable)?;
    let tenant = host.tenant("garbage")?.keep();
    let reply = tenant.upload("faults", &stage.guests.faults.component)?;
    ensure!(reply.status >= 500, "{}: {}", reply.seen(), reply.text());
    ensure!(!reply.text().contains("garbled"), "{}", reply.text());
    host.serves_the_good_tenant()?;
    host.stop()?;
    Ok(reply.seen())
}

fn a9(stage: &Stage) -> Seen {
    let mut folder = stage.fresh(&stage.launch())?.stop()?;
    let code = compiled(&folder)?;
    let intact = std::fs::read(&code)?;
    let mut flipped = intact.clone();
    for _ in 0..8 {
        let at = usize::try_from(stage.random(u64::try_from(flipped.len())?))?;
        flipped[at] ^= 0x55;
    }
    for harm in [flipped, intact[..intact.len() / 2].to_vec()] {
        std::fs::write(&code, harm)?;
        let host = stage.launch().start_on(folder)?;
        host.http().get(GOOD_PATH)?.is("200")?;
        ensure!(host.log().contains("compiling again"), "{}", host.log());
        folder = host.stop()?;
        ensure!(std::fs::read(&code)? == intact, "the file was not made whole");
    }
    Ok("compiled again, 200, and the file is whole".to_owned())
}

fn a10(stage: &Stage) -> Seen {
    let foreign = std::fs::read(compiled(&stage.fresh(&stage.launch())?.stop()?)?)?;
    let mut folder = stage.fresh(&stage.launch())?.stop()?;
    let code = compiled(&folder)?;
    ensure!(
        std::fs::read(&code)? != foreign,
        "two hosts sign their code alike"
    );
    for step in ["foreign", "none"] {
        if step == "foreign" {
            std::fs::write(&code, &foreign)?;
        } else {
            std::fs::remove_file(&code)?;
        }
        let host: Host = stage.launch().start_on(folder)?;
        host.http().get(GOOD_PATH)?.is("200").context(step)?;
        ensure!(host.log().contains("compiling again"), "{step}: {}", host.log());
        folder = host.stop()?;
    }
    Ok("compiled again and 200 both times".to_owned())
}

/// The single file of compiled code in a data folder.
fn compiled(folder: &Arc<tempfile::TempDir>) -> Result<PathBuf> {
    let mut files = std::fs::read_dir(folder.path().join("compiled"))?
        .flatten()
        .map(|entry| entry.path());
    files.next().context("no compiled code in the data folder")
}
