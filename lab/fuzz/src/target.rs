//! The host under test: its own process with a good tenant, and everything that inputs need on it.

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

/// The timeout of a response.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The allowed variation of the thread count: blocking threads end after ten idle seconds.
const THREAD_SLACK: u64 = 16;

/// The tenant whose plugins stay for all inputs.
const STANDING: &str = "standing";

/// The memory that the host may use in addition to its memory at the start: guests of all workers
/// with their maximum memory, their bodies, and slack for the allocator.
const PEAK: u64 = 640 << 20;

/// After the last response a host is idle: it may use the first duration of CPU time in each of the
/// second.
const IDLE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(400));

/// A handwritten handler that echoes the body, which it reads at the address of the request.
const ECHO: &str = "
    (i32.store16 (i32.const 1024) (i32.const 200))
    (i32.store8 (i32.const 1036)
      (i32.mul (i32.load8_u offset=52 (local.get 0)) (i32.add (i32.load8_u offset=56 (local.get 0)) (i32.const 1))))
    (i32.store (i32.const 1040) (i32.load offset=60 (local.get 0)))
    (i32.store (i32.const 1044) (i32.load offset=64 (local.get 0)))
    (i32.const 1024)";

/// A prepared data folder, from which hosts are started.
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

/// The guests that inputs deploy.
pub struct Guests {
    /// A guest of a few hundred bytes that echoes the body of the request.
    pub tiny: Vec<u8>,
    /// The same, which also handles jobs.
    pub tiny_with_jobs: Vec<u8>,
    /// Runs the SQL that it is sent.
    pub database: Guest,
    /// Echoes the request.
    pub echo: Guest,
    /// The same without its manifest.
    pub echo_component: Vec<u8>,
    /// Sends requests to the origin.
    pub http_client: Guest,
}

impl Guests {
    /// Loads the test guests and builds the handwritten one.
    pub fn new(origin: &Origin) -> Result<Self> {
        Ok(Self {
            tiny: wasm::handler("", ECHO)?,
            tiny_with_jobs: wasm::handler_with_jobs("", ECHO)?,
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
    /// Prepares a data folder: starts a host, deploys everything and stops it.
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
        // Its database stays open with one connection, which later queries use as well.
        host.known(STANDING)
            .post("database", "/query", &json!({ "sql": "SELECT 1" }))?
            .is("200")?;
        host.http().get(GOOD_PATH)?.is("200")?;
        Ok(Target {
            admin: host.admin().timeout(TIMEOUT),
            public: host.http().timeout(TIMEOUT),
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
    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn guests(&self) -> &Guests {
        &self.guests
    }

    /// The server for outbound requests.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The client of the public listener, with a timeout.
    pub fn public(&self) -> &Http {
        &self.public
    }

    /// The client of the admin API with the operator's token, with a timeout.
    pub fn admin(&self) -> &Http {
        &self.admin
    }

    /// Creates a tenant for one input.
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

    /// Returns the host's failure since the last call, if it is visible at once.
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

    /// Waits until the host is idle.
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

    /// Checks that the SQL of an uninvolved tenant is answered.
    pub fn sql_works(&self) -> Result<(), Failure> {
        // One query at a time, so that it uses one connection.
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

/// Returns the reply, unless it reports a fault of the host.
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

/// Whether a line of the host's log must not be caused by an input.
fn is_trouble(line: &str) -> bool {
    let level = serde_json::from_str::<Value>(line)
        .ok()
        .and_then(|entry| entry["level"].as_str().map(str::to_owned));
    match level {
        Some(level) => level == "ERROR" || line.contains("panicked"),
        // A line that is not a log entry is a panic, an abort, or an assertion of a library.
        None => !line.trim().is_empty(),
    }
}

fn last_lines(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

/// Uploads and activates a component. Returns whether the host accepted both. A response other than
/// a rejection is a failure.
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

/// Deletes a tenant, which must succeed.
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
