//! The host that is tested: a process of its own with a good tenant, and everything that inputs
//! need on it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::gauges::Gauges;
use rig::good::{GOOD, GOOD_PATH};
use rig::guest::{Guest, Recipe};
use rig::host::{Host, Launch};
use rig::http::{Http, Reply};
use rig::process::{most_resident, processor_time, resident, threads};
use rig::tenant::Tenant;
use rig::wasm;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::origin::Origin;

/// An answer that takes longer than this does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Threads that may come and go: those for blocking work end when they had none for ten seconds.
const THREAD_SLACK: u64 = 16;

/// The tenant whose plugins stay for all inputs.
const STANDING: &str = "standing";

/// What the host may hold in memory at once beyond what it held before: guests of all workers with
/// all the memory that each may have, their bodies, and slack for the allocator.
const PEAK: u64 = 640 << 20;

/// Behind the last answer a host is idle: it may spend this much of a span of time for itself.
const IDLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(400));

/// Answers with the body that it was sent, read and written by hand: the request lies at the
/// address it is given.
const ECHO: &str = "
    (i32.store16 (i32.const 1024) (i32.const 200))
    (i32.store8 (i32.const 1036)
      (i32.mul (i32.load8_u offset=52 (local.get 0)) (i32.add (i32.load8_u offset=56 (local.get 0)) (i32.const 1))))
    (i32.store (i32.const 1040) (i32.load offset=60 (local.get 0)))
    (i32.store (i32.const 1044) (i32.load offset=64 (local.get 0)))
    (i32.const 1024)";

/// A data folder with everything that inputs need, from which hosts are started.
pub struct Prepared {
    launch: Launch,
    folder: Arc<TempDir>,
    guests: Arc<Guests>,
    origin: Arc<Origin>,
}

/// A host under test.
pub struct Target {
    host: Host,
    admin: Http,
    public: Http,
    baseline: Gauges,
    resident: u64,
    threads: u64,
    origin: Arc<Origin>,
    guests: Arc<Guests>,
    next_tenant: AtomicU64,
    lines_seen: AtomicUsize,
    sql_turn: Mutex<()>,
}

/// What inputs deploy.
pub struct Guests {
    /// A few hundred bytes that answer with the body of the request.
    pub tiny: Vec<u8>,
    /// Runs the SQL that it is sent.
    pub database: Guest,
    /// Answers with what it was asked.
    pub echo: Guest,
    /// The same without its manifest.
    pub echo_component: Vec<u8>,
    /// Sends requests to the origin.
    pub http_client: Guest,
}

impl Guests {
    /// Those of the tests, and one by hand.
    pub fn new(origin: &Origin) -> Result<Self> {
        Ok(Self {
            tiny: wasm::handler("", ECHO)?,
            database: Recipe::of(test_artifacts::DATABASE)?.database(&[]).guest(),
            echo: Recipe::of(test_artifacts::ECHO)?.guest(),
            echo_component: std::fs::read(test_artifacts::ECHO_0_1).context("the guest that echoes")?,
            http_client: Recipe::of(test_artifacts::HTTP_CLIENT)?
                .origins(&[&origin.address()])
                .guest(),
        })
    }
}

impl Prepared {
    /// Starts a host once, deploys everything and stops it.
    pub fn new(launch: Launch) -> Result<Self> {
        let origin = Arc::new(Origin::start()?);
        let guests = Arc::new(Guests::new(&origin)?);
        let host = launch.start()?;
        let good = host.tenant(GOOD)?.keep();
        good.limit(&json!({ "cpu": "1s", "wall": "30s" }))?;
        good.deploy(&guests.echo)?;
        let standing = host.tenant(STANDING)?.keep();
        standing.limit(&json!({ "http_total": "2s", "http_first_byte": "1s", "http_connect": "1s" }))?;
        for guest in [&guests.echo, &guests.database, &guests.http_client] {
            standing.deploy(guest)?;
        }
        host.http().get(GOOD_PATH)?.is("200")?;
        Ok(Self {
            folder: host.stop()?,
            launch,
            guests,
            origin,
        })
    }

    /// Starts a host on a copy of the folder.
    pub fn start(&self) -> Result<Target> {
        let folder = TempDir::with_prefix("mortise-fuzz-")?;
        copy(self.folder.path(), folder.path()).context("a copy of the data folder")?;
        let host = self.launch.start_on(Arc::new(folder))?;
        for guest in [&self.guests.echo, &self.guests.database, &self.guests.http_client] {
            host.known(STANDING).get(&guest.plugin, "/")?;
        }
        // Its database stays open, with the one connection that later queries take as well.
        host.known(STANDING)
            .post("database", "/query", &json!({ "sql": "SELECT 1" }))?
            .is("200")?;
        host.http().get(GOOD_PATH)?.is("200")?;
        Ok(Target {
            admin: host.admin().timeout(PATIENCE),
            public: host.http().timeout(PATIENCE),
            baseline: Gauges::settled(&host)?,
            resident: most_resident(host.id()).and_then(|_| resident(host.id()))?,
            threads: threads(host.id())?,
            host,
            origin: self.origin.clone(),
            guests: self.guests.clone(),
            next_tenant: AtomicU64::new(0),
            lines_seen: AtomicUsize::new(0),
            sql_turn: Mutex::default(),
        })
    }
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy(&entry.path(), &target)?,
            false => drop(std::fs::copy(entry.path(), target)?),
        }
    }
    Ok(())
}

impl Target {
    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// What is deployed.
    pub fn guests(&self) -> &Guests {
        &self.guests
    }

    /// Where plugins send requests to.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Callers of the public listener who do not wait for ever.
    pub fn public(&self) -> &Http {
        &self.public
    }

    /// A tenant for one input, with a name of its own.
    pub fn tenant(&self) -> Result<Tenant> {
        let number = self.next_tenant.fetch_add(1, Ordering::Relaxed);
        let name = format!("fuzz-{number}");
        self.admin
            .post("/api/v1/tenants", &json!({ "name": name }))?
            .is("201")?;
        Ok(self.host.known_to(self.admin.clone(), self.public.clone(), &name))
    }

    /// The tenant whose plugins stay.
    pub fn standing(&self) -> Tenant {
        self.host
            .known_to(self.admin.clone(), self.public.clone(), STANDING)
    }

    /// What the host has done wrong since this was asked last, as far as it can be seen at once.
    pub fn complaint(&self) -> Option<Failure> {
        if self.host.has_ended() {
            return Some(Failure::Ended(last_lines(&self.host.log_from(0))));
        }
        let lines = self.host.log_from(self.lines_seen.load(Ordering::Relaxed));
        self.lines_seen.fetch_add(lines.len(), Ordering::Relaxed);
        lines
            .iter()
            .find(|line| is_trouble(line))
            .map(|line| Failure::Log(line.clone()))
    }

    /// Waits until the host holds about as much as before the first input.
    pub fn calm(&self) -> Option<Failure> {
        let peak = most_resident(self.host.id()).unwrap_or(0);
        if peak > self.resident + PEAK {
            let mebibytes = (self.resident >> 20, peak >> 20);
            return Some(Failure::Left(format!(
                "{} → {} MiB of memory at once",
                mebibytes.0, mebibytes.1
            )));
        }
        let calm = Gauges::calm(&self.host, &self.baseline);
        calm.and_then(|()| self.idle())
            .err()
            .map(|error| Failure::Left(format!("{error:#}")))
    }

    /// Waits until the host has nothing to do.
    fn idle(&self) -> Result<()> {
        rig::clock::within(
            Duration::from_secs(15),
            "the end of work behind the last answer",
            || {
                let before = processor_time(self.host.id())?;
                rig::clock::pass(IDLE.1);
                let spent = processor_time(self.host.id())?.saturating_sub(before);
                Ok((spent <= IDLE.0).then_some(()))
            },
        )
    }

    /// Whether the SQL of a tenant that has done nothing is answered.
    pub fn sql_works(&self) -> Result<(), Failure> {
        // One at a time, so that it takes one connection.
        let _turn = self.sql_turn.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = self
            .standing()
            .post("database", "/query", &json!({ "sql": "SELECT 1" }));
        let reply = sound(asked, "SQL of another tenant")?;
        match reply.text().contains("\"ok\"") {
            true => Ok(()),
            false => Err(Failure::Unanswered(format!(
                "SQL of another tenant: {}",
                reply.text()
            ))),
        }
    }

    /// Waits until the host has about as many threads as before the first input.
    pub fn threads_calm(&self) -> Option<Failure> {
        let most = self.threads + THREAD_SLACK;
        let calm = rig::clock::within(Duration::from_secs(30), "the end of threads", || {
            Ok((threads(self.host.id())? <= most).then_some(()))
        });
        let left = threads(self.host.id()).unwrap_or(0);
        calm.err()
            .map(|_| Failure::Left(format!("{left} threads instead of {}", self.threads)))
    }
}

/// A reply, unless the host says that it is at fault.
pub fn sound(reply: Result<Reply>, what: &str) -> Result<Reply, Failure> {
    let reply = reply.map_err(|error| Failure::Unanswered(format!("{what}: {error:#}")))?;
    if reply.status == 500 || reply.seen().ends_with(" internal") {
        return Err(Failure::Internal(format!(
            "{what}: {} {}",
            reply.seen(),
            reply.text()
        )));
    }
    Ok(reply)
}

/// Whether a line of the host's log is one that no input may cause.
fn is_trouble(line: &str) -> bool {
    let level = serde_json::from_str::<Value>(line)
        .ok()
        .and_then(|entry| entry["level"].as_str().map(str::to_owned));
    match level {
        Some(level) => level == "ERROR" || line.contains("panicked"),
        // What is no entry was not written by the log: a panic, an abort, an assertion of a
        // library.
        None => !line.trim().is_empty(),
    }
}

fn last_lines(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

/// Uploads a component, activates it and says whether the host took both. Another answer than a
/// refusal is a failure.
pub fn deploy(tenant: &Tenant, plugin: &str, component: &[u8], grants: &Value) -> Result<bool, Failure> {
    let uploaded = sound(tenant.upload(plugin, component), "an upload")?;
    if uploaded.status != 201 {
        return Ok(false);
    }
    let version = uploaded.body().unwrap_or_default()["version"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if !grants.is_null() {
        sound(tenant.send_grant(plugin, grants), "a grant")?;
    }
    let activated = sound(tenant.activate(plugin, &version), "an activation")?;
    Ok((200..300).contains(&activated.status))
}

/// Deletes a tenant, which always works.
pub fn delete(mut tenant: Tenant) -> Result<(), Failure> {
    let deleted = tenant.delete().context("the deletion of a tenant");
    deleted.map_err(|error| Failure::Internal(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_in_the_log_is_seen() {
        let line = |level: &str, message: &str| {
            format!(r#"{{"level":"{level}","fields":{{"message":"{message}"}}}}"#)
        };
        assert!(!is_trouble(&line("WARN", "the plugin was refused")));
        assert!(is_trouble(&line("ERROR", "no room")));
        assert!(is_trouble(&line("WARN", "a thread panicked")));
        assert!(is_trouble("thread 'main' has overflowed its stack"));
    }

    #[test]
    fn the_hosts_own_errors_are_no_answers() {
        let reply = |status: u16, body: &str| Reply {
            status,
            headers: Default::default(),
            body: body.as_bytes().to_vec(),
        };
        assert!(sound(Ok(reply(422, "{}")), "x").is_ok());
        assert!(matches!(
            sound(Ok(reply(500, "{}")), "x"),
            Err(Failure::Internal(_))
        ));
        assert!(matches!(
            sound(Err(anyhow::anyhow!("x")), "x"),
            Err(Failure::Unanswered(_))
        ));
    }

    #[test]
    fn the_guest_by_hand_is_a_component() {
        assert!(wasm::handler("", ECHO).unwrap().starts_with(wasm::COMPONENT));
    }
}
