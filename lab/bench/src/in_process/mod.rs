//! Measures one invocation in process, without sockets, and its parts, each with the same work done
//! natively.

pub mod native;
mod parts;
mod sandbox;
mod stopwatch;

use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use moka::sync::Cache;
use mortise::metrics::per_thread::PerThread;
use rig::{Bar, Measured};
use serde_json::{Value, json};
use sqlx::SqlitePool;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use crate::options::Options;
use crate::say;
use crate::series::Series;
use crate::subject::{Found, ORDER};
use sandbox::{Sandbox, request};
use stopwatch::Stopwatch;

/// The host calls of one invocation: so many that the fixed cost of the invocation hardly counts.
const CALLS: u32 = 100;

/// The measurement with a bar, in addition to the comparisons below.
const FRESH: &str = "fresh sandbox";
const MOST_OF_FRESH: f64 = 3.6;

/// The cost of loading a version that is on disk only.
const LOAD: &str = "load from disk";

/// The measurements, each with its baseline.
const SUBJECTS: [(&str, Option<&str>); 20] = [
    ("native function", None),
    ("reused instance", Some("native function")),
    (FRESH, Some("reused instance")),
    (LOAD, None),
    ("log", None),
    ("config", None),
    ("moka get", None),
    ("cache-get", Some("moka get")),
    ("moka insert", None),
    ("cache-set", Some("moka insert")),
    ("sqlx select", None),
    ("select", Some("sqlx select")),
    ("sqlx transaction", None),
    ("transaction", Some("sqlx transaction")),
    ("tokio timeout", None),
    ("bounded wait", Some("tokio timeout")),
    ("shared counter", None),
    ("own counter", Some("shared counter")),
    ("task that drops", None),
    ("deferred drop", Some("task that drops")),
];

/// Runs the measurements.
pub fn run(options: &Options) -> Result<Found> {
    let bench = Bench::open(options)?;
    let mut stopwatch = Stopwatch::new(Duration::from_millis(options.scaled(200, 1_000)))?;
    let mut samples = vec![Series::default(); SUBJECTS.len()];
    for _ in 0..options.scaled(1, 5) {
        for ((name, _), samples) in SUBJECTS.iter().zip(&mut samples) {
            samples.push(bench.time(&mut stopwatch, name)?);
        }
    }
    say("in process, microseconds each:\n");
    let (mut raw, mut bars) = (Vec::new(), Vec::new());
    for ((name, baseline), mine) in SUBJECTS.iter().zip(&samples) {
        let place = |name: &str| SUBJECTS.iter().position(|(subject, _)| *subject == name);
        let ratio = baseline.and_then(place).map(|place| mine.over(&samples[place]));
        if let (FRESH, Some(ratio)) = (*name, &ratio) {
            let (least, most) = ratio.spread();
            let bar = Measured::new(
                "fresh sandbox / reused instance, in process",
                ratio.median(),
                Bar::AtMost(MOST_OF_FRESH),
            );
            bars.push(bar.note(format!("{least:.2} to {most:.2}")));
        }
        raw.push(report(name, mine, *baseline, ratio));
    }
    Ok(Found {
        raw: raw.into(),
        bars,
    })
}

/// Prints a line of the table and returns the samples.
fn report(name: &str, samples: &Series, baseline: Option<&str>, ratio: Option<Series>) -> Value {
    let (least, most) = samples.spread();
    let compared = match (baseline, &ratio) {
        (Some(baseline), Some(ratio)) => format!("  {:.1} × {baseline}", ratio.median()),
        _ => String::new(),
    };
    say(&format!(
        "  {name:<18} {:>8.2} ({least:.2} to {most:.2}){compared}\n",
        samples.median()
    ));
    json!({ "name": name, "microseconds": samples, "baseline": baseline, "ratio": ratio })
}

/// The state of all measurements.
struct Bench {
    thread: Runtime,
    sandbox: Sandbox,
    cache: Cache<String, String>,
    database: SqlitePool,
    /// The runtime for SQL and for long-running plugins.
    background: Runtime,
    _folder: TempDir,
}

impl Bench {
    fn open(options: &Options) -> Result<Self> {
        let thread = Builder::new_current_thread().enable_all().build()?;
        let background = Builder::new_multi_thread().enable_all().build()?;
        let folder = TempDir::with_prefix("mortise-bench-")?;
        Ok(Self {
            sandbox: thread.block_on(Sandbox::open(options, background.handle()))?,
            cache: native::cache(),
            database: thread.block_on(crate::native::database(&folder.path().join("native.db")))?,
            thread,
            background,
            _folder: folder,
        })
    }

    /// Returns the microseconds of one operation `name`.
    fn time(&self, stopwatch: &mut Stopwatch, name: &str) -> Result<f64> {
        match name {
            "native function" => {
                stopwatch.time(name, |times| repeated(times, || native::order(black_box(ORDER))))
            }
            "reused instance" => {
                let order = request("/orders", "/orders", &[], Some(ORDER));
                self.awaited(stopwatch, name, async || {
                    self.sandbox.invoke_again(order.clone()).await
                })
            }
            FRESH => {
                let order = request("/orders", "/orders", &[], Some(ORDER));
                self.awaited(stopwatch, name, async || self.sandbox.invoke(order.clone()).await)
            }
            LOAD => self.awaited(stopwatch, name, async || self.sandbox.load().await),
            "moka get" => stopwatch.time(name, |times| {
                repeated(times, || Ok(self.cache.get(black_box("greeting"))))
            }),
            "moka insert" => stopwatch.time(name, |times| {
                repeated(times, || {
                    self.cache
                        .insert("greeting".to_owned(), "good morning".to_owned());
                    Ok(())
                })
            }),
            "sqlx select" => self.awaited(stopwatch, name, async || {
                Ok(crate::native::select(&self.database, 7).await?)
            }),
            "tokio timeout" => self.on_two_threads(stopwatch, name, parts::tokio_timeouts),
            "bounded wait" => self.on_two_threads(stopwatch, name, parts::bounded_waits),
            "shared counter" => {
                let counter = AtomicU64::new(0);
                self.on_two_threads(stopwatch, name, async |times| parts::add(times, || &counter))
            }
            "own counter" => {
                let counters = PerThread::default();
                self.on_two_threads(stopwatch, name, async |times| {
                    parts::add(times, || counters.own())
                })
            }
            "task that drops" => self.on_two_threads(stopwatch, name, parts::tasks_that_drop),
            "deferred drop" => self.on_two_threads(stopwatch, name, parts::deferred_drops),
            "sqlx transaction" => self.awaited(stopwatch, name, async || {
                native::transaction(&self.database).await
            }),
            call => {
                let none = self.invocation_with(stopwatch, call, 0)?;
                let many = self.invocation_with(stopwatch, call, CALLS)?;
                Ok((many - none) / f64::from(CALLS))
            }
        }
    }

    /// Returns the microseconds of an invocation with `times` host calls.
    fn invocation_with(&self, stopwatch: &mut Stopwatch, call: &str, times: u32) -> Result<f64> {
        let text = times.to_string();
        let path = format!("/calls/{call}/{times}");
        let params = [("call", call), ("times", text.as_str())];
        let calls = request("/calls/{call}/{times}", &path, &params, None);
        self.awaited(stopwatch, &format!("{call} {times}"), async || {
            self.sandbox.invoke(calls.clone()).await
        })
    }

    /// Returns the microseconds of one operation of `run`, which two threads run concurrently, as
    /// often as its argument says.
    fn on_two_threads(
        &self,
        stopwatch: &mut Stopwatch,
        name: &str,
        run: impl AsyncFn(u64) + Sync,
    ) -> Result<f64> {
        let threads = self.background.handle();
        stopwatch.time(name, |times| {
            let since = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| threads.block_on(run(times)));
                }
            });
            Ok(since.elapsed())
        })
    }

    fn awaited<T>(
        &self,
        stopwatch: &mut Stopwatch,
        name: &str,
        operation: impl AsyncFn() -> Result<T>,
    ) -> Result<f64> {
        stopwatch.time(name, |times| {
            self.thread.block_on(async {
                let since = Instant::now();
                for _ in 0..times {
                    black_box(operation().await?);
                }
                Ok(since.elapsed())
            })
        })
    }
}

fn repeated<T>(times: u64, operation: impl Fn() -> Result<T>) -> Result<Duration> {
    let since = Instant::now();
    for _ in 0..times {
        black_box(operation()?);
    }
    Ok(since.elapsed())
}
