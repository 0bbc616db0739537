//! From socket to socket over the loopback, beside bare axum: how much is answered, and how long callers wait at fixed
//! rates.

use std::time::Duration;

use anyhow::{Context as _, Result};
use load::OpenLoop;
use rig::{Bar, Measured};
use serde_json::{Value, json};

use crate::native::Native;
use crate::options::Options;
use crate::say;
use crate::series::Series;
use crate::subject::{self, Found, Requests, TENANT};
use crate::traffic::{Generator, Repeated};

/// Connections of the closed loops, and of the open ones.
const CONNECTIONS: usize = 32;

/// Requests each second of the open loops.
const RATES: [f64; 2] = [1_000.0, 5_000.0];

/// Something that is asked, and what it is compared with.
struct Subject {
    name: &'static str,
    request: Repeated,
    /// The place of its baseline in the list.
    baseline: usize,
    /// What the ratio is wanted to be.
    bar: Option<f64>,
}

/// Measures it.
pub fn run(options: &Options) -> Result<Found> {
    let folder = tempfile::TempDir::with_prefix("mortise-bench-")?;
    let generator = Generator::find(folder.path());
    let native = Native::start(folder.path())?;
    let host = subject::launch(options).start()?;
    let tenant = subject::tenant(&host, TENANT)?;
    let public = subject::public(&host, &tenant)?;
    let reused = subject::reused(&host, &tenant)?;
    let everything = subject::everything(&host, &tenant)?;
    let bare = Requests::native(native.address);
    let subjects = [
        Subject {
            name: "bare axum",
            request: bare.order(),
            baseline: 0,
            bar: None,
        },
        Subject {
            name: "public route, fresh sandbox",
            request: public.order(),
            baseline: 0,
            bar: Some(0.60),
        },
        Subject {
            name: "public route, reused instance",
            request: reused.order(),
            baseline: 0,
            bar: Some(0.80),
        },
        Subject {
            name: "everything on",
            request: everything.order(),
            baseline: 0,
            bar: Some(0.50),
        },
        Subject {
            name: "bare axum, one row with sqlx",
            request: bare.row(),
            baseline: 4,
            bar: None,
        },
        Subject {
            name: "one row by key",
            request: public.row(),
            baseline: 4,
            bar: Some(0.60),
        },
    ];
    say(&format!(
        "whole path: {CONNECTIONS} connections, {}\n",
        generator.name()
    ));
    let (bars, closed) = closed(options, &generator, &subjects)?;
    let open = open(options, &subjects)?;
    host.stop()?;
    Ok(Found {
        bars,
        raw: json!({ "closed": closed, "open": open }),
    })
}

/// As much as is answered, in turn.
fn closed(
    options: &Options,
    generator: &Generator,
    subjects: &[Subject],
) -> Result<(Vec<Measured>, Vec<Value>)> {
    let (rounds, span) = (options.scaled(3, 7), Duration::from_secs(options.scaled(2, 4)));
    let mut speeds = vec![(Series::default(), Series::default(), Series::default()); subjects.len()];
    for round in 0..=rounds {
        for (subject, (per_second, p50, p99)) in subjects.iter().zip(&mut speeds) {
            let span = if round == 0 { span / 2 } else { span };
            let speed = generator
                .run(&subject.request, CONNECTIONS, span)
                .context(subject.name)?;
            // The first round warms up.
            if round > 0 {
                per_second.push(speed.per_second);
                p50.push(speed.p50);
                p99.push(speed.p99);
            }
        }
    }
    let (mut bars, mut raw) = (Vec::new(), Vec::new());
    for (subject, (per_second, p50, p99)) in subjects.iter().zip(&speeds) {
        let ratio = per_second.over(&speeds[subject.baseline].0);
        let (least, most) = ratio.spread();
        say(&format!(
            "  {:<30} {:>8.0}/s  p50 {:>6.2} ms  p99 {:>6.2} ms  ÷ baseline {:.2} ({least:.2} to {most:.2})\n",
            subject.name,
            per_second.median(),
            p50.median(),
            p99.median(),
            ratio.median()
        ));
        raw.push(json!({
            "name": subject.name, "per_second": per_second, "p50_ms": p50, "p99_ms": p99, "ratio": ratio,
        }));
        if let Some(bar) = subject.bar {
            let name = format!("{} / {}", subject.name, subjects[subject.baseline].name);
            let measured = Measured::new(&name, ratio.median(), Bar::AtLeast(bar));
            bars.push(measured.note(format!("{least:.2} to {most:.2} over {rounds} rounds")));
        }
    }
    Ok((bars, raw))
}

/// What callers wait who come at a fixed rate.
fn open(options: &Options, subjects: &[Subject]) -> Result<Vec<Value>> {
    let span = Duration::from_secs(options.scaled(2, 8));
    let mut raw = Vec::new();
    for rate in RATES {
        for subject in subjects {
            let report = OpenLoop::new(subject.request.call(), rate, span)
                .connections(CONNECTIONS)
                .run()?;
            let latency = report.latency(200);
            say(&format!(
                "  {:<30} at {rate:>6.0}/s: p50 {:.2} ms, p99 {:.2} ms, failures {}\n",
                subject.name,
                latency.p50().as_secs_f64() * 1e3,
                latency.p99().as_secs_f64() * 1e3,
                report.failures()
            ));
            raw.push(json!({ "name": subject.name, "rate": rate, "report": report }));
        }
    }
    Ok(raw)
}
