//! The client of the job stages: it adds jobs and keeps its own list of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rig::clock::{now, within};
use rig::host::{Host, Launch};
use rig::http::Http;
use rig::tenant::Tenant;
use serde::Serialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::scene::{PLUGIN, TOPIC, effect};

/// The threads that send requests for each tenant.
const THREADS: usize = 3;

/// How long all requests without a kill may take.
const SENDING: Duration = Duration::from_secs(600);

/// No job must come within this time after the last one.
const CALM: Duration = Duration::from_secs(3);

/// How a job is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// By a request; it completes in its transaction.
    Once,
    /// By a request; its effect is not part of its completion.
    Plain,
    /// In a transaction of a request.
    InTransaction,
    /// By an event, which each of two plugins handles.
    Event,
    /// By an event in a transaction of a request.
    EventInTransaction,
}

/// A request to add a job, with its outcome.
#[derive(Clone, Debug)]
pub struct Sent {
    pub tenant: &'static str,
    pub way: Way,
    pub key: String,
    /// Whether the host acknowledged it.
    pub acknowledged: bool,
    /// The typed error with which the host refused it.
    pub refused: Option<String>,
}

/// The client, with the running host.
pub struct Client {
    /// Absent while no host runs.
    host: Option<Host>,
    tenants: &'static [&'static str],
    sent: Vec<Sent>,
    next: AtomicUsize,
}

impl Way {
    const ALL: [Way; 5] = [
        Way::Once,
        Way::Plain,
        Way::InTransaction,
        Way::Event,
        Way::EventInTransaction,
    ];

    /// How many jobs it adds.
    pub fn jobs(self) -> usize {
        match self {
            Way::Once | Way::Plain | Way::InTransaction => 1,
            Way::Event | Way::EventInTransaction => 2,
        }
    }

    /// Whether the effect and the completion of its jobs are one transaction.
    pub fn completes(self) -> bool {
        self != Way::Plain
    }

    /// Whether the request also writes an order in the same transaction.
    pub fn has_order(self) -> bool {
        matches!(self, Way::InTransaction | Way::EventInTransaction)
    }

    /// The request that adds it.
    fn request(self, key: &str) -> Value {
        let payload = effect(key, self.completes());
        let name = if self == Way::Plain { "plain" } else { "once" };
        let order = json!({ "execute": "INSERT INTO orders (key) VALUES ($1)", "params": [key] });
        let enqueue = json!({ "enqueue": { "name": name, "payload": payload } });
        let publish = json!({ "publish": { "topic": TOPIC, "payload": payload } });
        let step = match self {
            Way::Once | Way::Plain => enqueue,
            Way::InTransaction => json!({ "transaction": [order, enqueue] }),
            Way::Event => publish,
            Way::EventInTransaction => json!({ "transaction": [order, publish] }),
        };
        json!({ "do": [step] })
    }
}

impl Client {
    pub fn new(host: Host, tenants: &'static [&'static str]) -> Self {
        Self {
            host: Some(host),
            tenants,
            sent: Vec::new(),
            next: AtomicUsize::new(0),
        }
    }

    /// The running host.
    ///
    /// # Panics
    ///
    /// If a stage has taken the host and not brought another one.
    pub fn host(&self) -> &Host {
        // The stages replace a host that they take.
        self.host.as_ref().expect("a host runs")
    }

    /// Takes the host, to kill it.
    pub fn take_host(&mut self) -> Result<Host> {
        self.host.take().context("no host runs")
    }

    /// Starts a host on the folder of an earlier one.
    pub fn start(&mut self, launch: &Launch, folder: Arc<TempDir>) -> Result<()> {
        self.host = Some(launch.start_on(folder)?);
        Ok(())
    }

    /// Uses a host that runs already.
    pub fn use_host(&mut self, host: Host) {
        self.host = Some(host);
    }

    /// What was sent so far.
    pub fn sent(&self) -> &[Sent] {
        &self.sent
    }

    pub fn tenants(&self) -> &'static [&'static str] {
        self.tenants
    }

    /// The acknowledged jobs.
    pub fn acknowledged(&self) -> usize {
        let acknowledged = self.sent.iter().filter(|sent| sent.acknowledged);
        acknowledged.map(|sent| sent.way.jobs()).sum()
    }

    /// Sends `count` requests, all of which are answered.
    pub fn send(&mut self, count: usize) -> Result<()> {
        self.work_while(count, |_, left| {
            within(SENDING, "the last request", || {
                Ok((left.load(Ordering::SeqCst) == 0).then_some(()))
            })
        })
    }

    /// Sends up to `most` requests until the host is gone or `meanwhile` returns.
    pub fn work<T>(&mut self, most: usize, meanwhile: impl FnOnce(&Host) -> Result<T>) -> Result<T> {
        self.work_while(most, |host, _| meanwhile(host))
    }

    fn work_while<T>(
        &mut self,
        most: usize,
        meanwhile: impl FnOnce(&Host, &AtomicUsize) -> Result<T>,
    ) -> Result<T> {
        let host = self.host.as_ref().context("no host runs")?;
        let (left, stop) = (AtomicUsize::new(most), AtomicBool::new(false));
        let next = &self.next;
        let (done, lists) = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .tenants
                .iter()
                .flat_map(|tenant| [*tenant; THREADS])
                .map(|tenant| {
                    let (http, left, stop) = (host.http(), &left, &stop);
                    scope.spawn(move || add(&http, tenant, next, left, stop))
                })
                .collect();
            let done = meanwhile(host, &left);
            stop.store(true, Ordering::SeqCst);
            let lists: Vec<_> = threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect();
            (done, lists)
        });
        for list in lists {
            self.sent.extend(list?);
        }
        done
    }

    /// Waits until no job is left to run, and no more come from outboxes.
    pub fn finish(&self, most: Duration) -> Result<()> {
        let mut idle_since = None;
        within(most, "the end of the last job", || {
            if self.live()? > 0 {
                idle_since = None;
                return Ok(None);
            }
            let since = *idle_since.get_or_insert_with(now);
            Ok((since.elapsed() > CALM).then_some(()))
        })
        .with_context(|| self.waiting().unwrap_or_else(|error| format!("{error:#}")))
    }

    /// The number of jobs that wait or run.
    fn live(&self) -> Result<u64> {
        let node = self.host().admin().get("/api/v1/node")?.ok()?;
        let gauge = |name: &str| node["gauges"][name].as_u64().context("a gauge of jobs");
        Ok(gauge("jobs_queued")? + gauge("jobs_running")?)
    }

    /// The first job that waits or runs, as JSON.
    fn waiting(&self) -> Result<String> {
        for tenant in self.tenants {
            let path = "/jobs?state=scheduled,ready,blocked,held,running&limit=1";
            let page = self
                .host()
                .admin()
                .get(&self.host().known(tenant).path(path))?
                .ok()?;
            if let Some(job) = page["items"].get(0) {
                return Ok(job.to_string());
            }
        }
        Ok("no job waits".to_owned())
    }

    /// All rows of a query in a tenant's database, in pages. `sql` selects rows after the number
    /// $1, which is their first column.
    pub fn rows(&self, tenant: &str, sql: &str) -> Result<Vec<Vec<Value>>> {
        let tenant = self.host().known(tenant);
        let mut all: Vec<Vec<Value>> = Vec::new();
        loop {
            let after = all.last().and_then(|row| row.first()?.as_i64()).unwrap_or(0);
            let step = json!({ "query": sql, "params": [after] });
            let page: Vec<Vec<Value>> = serde_json::from_value(ask(&tenant, &step)?)?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// All jobs of a tenant, as the admin API lists them.
    pub fn jobs(&self, tenant: &str) -> Result<Vec<Value>> {
        let tenant = self.host().known(tenant);
        let mut all = Vec::new();
        let mut path = tenant.path("/jobs?limit=200");
        loop {
            let page = self.host().admin().get(&path)?.ok()?;
            all.extend(page["items"].as_array().cloned().context("a list of jobs")?);
            match page["next"].as_str() {
                Some(next) => path = tenant.path(&format!("/jobs?limit=200&cursor={next}")),
                None => return Ok(all),
            }
        }
    }

    /// A job with its attempts.
    pub fn job(&self, tenant: &str, id: &str) -> Result<Value> {
        let path = self.host().known(tenant).path(&format!("/jobs/{id}"));
        self.host().admin().get(&path)?.ok()
    }
}

/// Does one step in a request, which must succeed.
pub fn ask(tenant: &Tenant, step: &Value) -> Result<Value> {
    let reply = tenant.post(PLUGIN, "/", &json!({ "do": [step] }))?.is("200")?;
    let answer = reply.body()?;
    ensure!(answer[0].get("ok").is_some(), "{step}: {answer}");
    Ok(answer[0]["ok"].clone())
}

/// Adds jobs of one tenant, one after the other.
fn add(
    http: &Http,
    tenant: &'static str,
    next: &AtomicUsize,
    left: &AtomicUsize,
    stop: &AtomicBool,
) -> Result<Vec<Sent>> {
    let mut sent = Vec::new();
    let one_less = |left: usize| left.checked_sub(1);
    while !stop.load(Ordering::SeqCst)
        && left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok()
    {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let way = Way::ALL[number % Way::ALL.len()];
        let key = format!("{tenant}-{number}");
        let reply = http.post(&format!("/{tenant}/{PLUGIN}/"), &way.request(&key));
        let mut one = Sent {
            tenant,
            way,
            key,
            acknowledged: false,
            refused: None,
        };
        match reply {
            Ok(reply) => {
                let answer = reply.is("200")?.body()?;
                one.acknowledged = answer[0].get("ok").is_some();
                one.refused = answer[0]["error"].as_str().map(str::to_owned);
                sent.push(one);
            }
            // The host is gone: the job may exist.
            Err(_) => {
                sent.push(one);
                break;
            }
        }
    }
    Ok(sent)
}

/// The metrics of a host by name.
pub fn metrics(host: &Host) -> Result<BTreeMap<String, f64>> {
    let reply = host.admin().get("/metrics")?.is("200")?;
    let text = reply.text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect())
}
