//! Measures how soon a node serves changes of another node: 10,000 tenants, of which 1,000 change
//! each second. The changes are written directly to the database, so that only polling finds them.

use std::ops::Range;
use std::path::Path;
use std::sync::mpsc;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use mortise::domain::id::TenantId;
use rig::clock::{now, pass, within};
use rig::host::Host;
use rig::process::processor_time;
use rig::{Bar, Measured};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, SqlitePool};
use tokio::runtime::Runtime;

use crate::options::Options;
use crate::say;
use crate::series::Series;
use crate::subject::{self, Found, TENANT};
use crate::traffic::Generator;

const CONNECTIONS: usize = 32;

/// Changes per second, and the number of steps in which they are made.
const RAISED: usize = 1_000;
const STEPS: usize = 10;

/// The measurement fails if a change is not served within this time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the measurement.
pub fn run(options: &Options) -> Result<Found> {
    let count = options.scaled(2_000, 10_000);
    let span = Duration::from_secs(options.scaled(3, 8));
    say(&format!(
        "reconcile: {count} tenants, {RAISED} changes a second by somebody else\n"
    ));
    let folder = tempfile::TempDir::with_prefix("mortise-bench-")?;
    let generator = Generator::find(folder.path())?;
    let host = subject::launch(options).start()?;
    let tenant = subject::tenant(&host, TENANT)?;
    let request = subject::reused(&host, &tenant)?.order();
    let other = Other::connect(host.data())?;
    let begin = now();
    let ids = other.copy_tenant(count)?;
    let last = path(count - 1);
    within(TIMEOUT, "serving the last new tenant", || {
        Ok(is_served(&host, &last)?.then_some(()))
    })?;
    say(&format!(
        "  made and served for the first time within {:.1} s\n",
        begin.elapsed().as_secs_f64()
    ));

    let (mut idle, mut busy) = (Series::default(), Series::default());
    let (mut calm, mut spent) = (Series::default(), Series::default());
    let mut lags = Vec::new();
    let mut changes = Changes::new(&host, &other, &ids);
    generator.run(&request, CONNECTIONS, Duration::from_secs(1))?;
    for _ in 0..options.scaled(1, 5) {
        idle.push(generator.run(&request, CONNECTIONS, span)?.per_second);
        let (speed, found) = changes.during(span, || generator.run(&request, CONNECTIONS, span))?;
        busy.push(speed.per_second);
        lags.extend(found);
        let nothing = || {
            pass(span);
            Ok(())
        };
        calm.push(processor_share(&host, nothing)?);
        let without_requests = || changes.during(span, nothing).map(drop);
        spent.push(processor_share(&host, without_requests)?);
    }
    let longest = lags.iter().copied().fold(0.0, f64::max);
    let lags = Series(lags);
    let ratio = busy.over(&idle);
    say(&format!(
        "  served after {:.2} s (median), {longest:.2} s (most); processor {:.1} % idle, {:.1} % while reconciling\n  \
         one route meanwhile {:.0}/s, otherwise {:.0}/s\n",
        lags.median(),
        calm.median() * 100.0,
        spent.median() * 100.0,
        busy.median(),
        idle.median(),
    ));
    let bars = vec![
        Measured::new(
            "1,000 changes a second by others, longest until one is served, seconds",
            longest,
            Bar::AtMost(3.0),
        ),
        Measured::new(
            "throughput while 1,000 tenants a second are read again / otherwise",
            ratio.median(),
            Bar::AtLeast(0.7),
        ),
    ];
    Ok(Found {
        bars,
        raw: json!({
            "tenants": count, "served_after_s": lags, "idle_per_second": idle, "busy_per_second": busy,
            "processor_idle": calm, "processor_reconciling": spent,
        }),
    })
}

/// The status of a tenant that is suspended.
const SUSPENDED: u16 = 503;

/// The status of a tenant that is not served yet.
const NOT_FOUND: u16 = 404;

/// Whether the tenant is served and not suspended. The plugin refuses the empty order.
fn is_served(host: &Host, path: &str) -> Result<bool> {
    let status = host.http().post(path, &json!({}))?.status;
    Ok(![SUSPENDED, NOT_FOUND].contains(&status))
}

/// A process that shares the database with the host, as another node would.
struct Other {
    runtime: Runtime,
    database: SqlitePool,
}

impl Other {
    fn connect(data: &Path) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let options = SqliteConnectOptions::new()
            .filename(data.join("mortise.db"))
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(1);
        let database = runtime.block_on(pool.connect_with(options))?;
        Ok(Self { runtime, database })
    }

    /// Creates `count` tenants with the plugin of the benchmarks' tenant.
    fn copy_tenant(&self, count: usize) -> Result<Vec<TenantId>> {
        let ids: Vec<TenantId> = (0..count).map(|_| TenantId::generate()).collect();
        let copy = async {
            let mut transaction = self.database.begin().await?;
            for (number, id) in ids.iter().enumerate() {
                for statement in [
                    "INSERT INTO tenants (id, name, plan, limits, suspended, created_at) \
                     SELECT $1, $2, plan, limits, 0, created_at FROM tenants WHERE name = $3",
                    "INSERT INTO plugins (tenant, name, active, disabled, created_at) SELECT $1, p.name, NULL, 0, p.created_at \
                     FROM plugins p JOIN tenants t ON t.id = p.tenant WHERE t.name = $3 AND $2 = $2",
                    "INSERT INTO versions (tenant, plugin, digest, manifest, size, created_at) \
                     SELECT $1, v.plugin, v.digest, v.manifest, v.size, v.created_at \
                     FROM versions v JOIN tenants t ON t.id = v.tenant WHERE t.name = $3 AND $2 = $2",
                    "UPDATE plugins SET active = (SELECT digest FROM versions v WHERE v.tenant = $1 AND v.plugin = plugins.name) \
                     WHERE tenant = $1 AND $2 = $2 AND $3 = $3",
                ] {
                    sqlx::query(statement)
                        .bind(id.to_string())
                        .bind(name(number))
                        .bind(TENANT)
                        .execute(&mut *transaction)
                        .await?;
                }
            }
            transaction.commit().await
        };
        self.runtime.block_on(copy).context("the copies of the tenant")?;
        Ok(ids)
    }

    /// Suspends or resumes tenants in one change.
    fn suspend(&self, ids: &[TenantId], suspended: bool) -> Result<()> {
        let list: Vec<String> = ids.iter().map(|id| format!("'{id}'")).collect();
        // Ids contain no characters that are special in SQL.
        let change = AssertSqlSafe(format!(
            "UPDATE tenants SET suspended = {}, generation = generation + 1 WHERE id IN ({})",
            u8::from(suspended),
            list.join(",")
        ));
        self.runtime
            .block_on(sqlx::query(change).persistent(false).execute(&self.database))?;
        Ok(())
    }
}

/// Makes changes while something else is measured.
struct Changes<'a> {
    host: &'a Host,
    other: &'a Other,
    ids: &'a [TenantId],
    /// The number of steps so far. Each tenant is suspended in one round and resumed in the next.
    steps: usize,
}

/// A changed tenant: the time of the change, and whether the tenant is served after it.
struct Awaited {
    path: String,
    served: bool,
    since: Instant,
}

impl<'a> Changes<'a> {
    fn new(host: &'a Host, other: &'a Other, ids: &'a [TenantId]) -> Self {
        Self {
            host,
            other,
            ids,
            steps: 0,
        }
    }

    /// Makes changes for `span` while `measure` runs. Returns the seconds until one change of each
    /// step was served.
    fn during<T>(&mut self, span: Duration, measure: impl FnOnce() -> Result<T>) -> Result<(T, Vec<f64>)> {
        let (made, awaited) = mpsc::channel::<Awaited>();
        let host = self.host;
        std::thread::scope(|scope| {
            let watcher = scope.spawn(move || watch(host, &awaited));
            let changer = scope.spawn(move || self.make(span, &made));
            let measured = measure();
            join(changer)?;
            let lags = join(watcher)?;
            Ok((measured?, lags))
        })
    }

    fn make(&mut self, span: Duration, made: &mpsc::Sender<Awaited>) -> Result<()> {
        let begin = now();
        let steps = u32::try_from(STEPS)?;
        let (step, mut next) = (Duration::from_secs(1) / steps, Duration::ZERO);
        while next < span {
            pass(next.saturating_sub(begin.elapsed()));
            let tenants = self.next_tenants();
            let suspended = (self.steps * RAISED / STEPS / self.ids.len()).is_multiple_of(2);
            self.other.suspend(&self.ids[tenants.clone()], suspended)?;
            self.steps += 1;
            let awaited = Awaited {
                path: path(tenants.end - 1),
                served: !suspended,
                since: now(),
            };
            // The watcher ends only when the sender is dropped.
            let _ = made.send(awaited);
            next += step;
        }
        Ok(())
    }

    fn next_tenants(&self) -> Range<usize> {
        let some = RAISED / STEPS;
        let begin = self.steps * some % self.ids.len();
        begin..begin + some
    }
}

/// Waits for one changed tenant after the other until its change is served.
fn watch(host: &Host, awaited: &mpsc::Receiver<Awaited>) -> Result<Vec<f64>> {
    let mut lags = Vec::new();
    for Awaited { path, served, since } in awaited {
        within(TIMEOUT, "serving a change", || {
            Ok((is_served(host, &path)? == served).then_some(()))
        })?;
        lags.push(since.elapsed().as_secs_f64());
    }
    Ok(lags)
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The fraction of one processor that the host uses while `meanwhile` runs.
fn processor_share(host: &Host, meanwhile: impl FnOnce() -> Result<()>) -> Result<f64> {
    let (begin, before) = (now(), processor_time(host.id())?);
    meanwhile()?;
    let spent = processor_time(host.id())?.saturating_sub(before);
    Ok(spent.as_secs_f64() / begin.elapsed().as_secs_f64())
}

fn name(number: usize) -> String {
    format!("copy-{number}")
}

fn path(number: usize) -> String {
    format!("/{}/reused/orders", name(number))
}
