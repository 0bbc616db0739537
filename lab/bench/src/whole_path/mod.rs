//! From socket to socket over the loopback, beside bare axum: how much is answered, and how long callers wait at fixed
//! rates.

mod report;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use load::OpenLoop;
use rig::host::{Host, Launch};
use serde::Serialize;
use serde_json::{Value, json};

use crate::native::Native;
use crate::options::Options;
use crate::processor::Spent;
use crate::profile::Profile;
use crate::say;
use crate::series::Series;
use crate::subject::{self, Found, Requests, TENANT};
use crate::traffic::{Generator, Repeated, Speed};

/// Connections of the closed loops, and of the open ones.
const CONNECTIONS: usize = 32;

/// Requests each second of the open loops.
const RATES: [f64; 2] = [1_000.0, 5_000.0];

/// Something that is asked, and what it is compared with.
struct Subject {
    name: &'static str,
    request: Repeated,
    /// The process that answers.
    process: u32,
    /// The place of its baseline in the list.
    baseline: usize,
    /// What the ratio is wanted to be.
    bar: Option<f64>,
}

/// What was measured of a subject, round by round.
#[derive(Clone, Default, Serialize)]
struct Samples {
    per_second: Series,
    p50_ms: Series,
    p99_ms: Series,
    /// Processor time of each request, in microseconds: of the server's own code, of the kernel for it, of the generator.
    own_us: Series,
    kernel_us: Series,
    generator_us: Series,
}

/// A host with the plugins that are measured.
struct Deployed {
    host: Host,
    public: Requests,
    reused: Requests,
    everything: Requests,
}

/// Places in the list, which begins with the baselines.
const ORDER: usize = 0;
const ROW: usize = 1;
const BASELINES: usize = 2;

/// Measures it.
pub fn run(options: &Options) -> Result<Found> {
    let folder = tempfile::TempDir::with_prefix("mortise-bench-")?;
    let generator = Generator::find(folder.path());
    let native = Native::start(folder.path())?;
    let host = Deployed::start(&subject::launch(options))?;
    let beside = options.beside.as_ref();
    let beside = beside.map(|other| Deployed::start(&subject::launch(options).executable(other)));
    let beside = beside.transpose()?;
    let mut subjects = baselines(&native);
    subjects.extend(host.subjects());
    let measured = subjects.len();
    if let Some(beside) = &beside {
        subjects.extend(beside.subjects_beside());
    }
    say(&format!(
        "whole path: {CONNECTIONS} connections, {}\n",
        generator.name()
    ));
    let samples = closed(options, &generator, &subjects)?;
    let bars = report::bars(&subjects[..measured], &samples);
    report::spent(&subjects[..measured], &samples);
    report::compared(&subjects, &samples, measured);
    let profiles = match options.profile {
        true => profiles(options, &generator, &subjects[..measured], folder.path())?,
        false => Vec::new(),
    };
    let open = open(options, &subjects[..measured])?;
    for Deployed { host, .. } in [Some(host), beside].into_iter().flatten() {
        host.stop()?;
    }
    let raw: Vec<Value> = subjects
        .iter()
        .zip(&samples)
        .map(|(subject, samples)| json!({ "name": subject.name, "samples": samples }))
        .collect();
    Ok(Found {
        bars,
        raw: json!({ "closed": raw, "profiles": profiles, "open": open }),
    })
}

impl Deployed {
    fn start(launch: &Launch) -> Result<Self> {
        let host = launch.start()?;
        let tenant = subject::tenant(&host, TENANT)?;
        Ok(Self {
            public: subject::public(&host, &tenant)?,
            reused: subject::reused(&host, &tenant)?,
            everything: subject::everything(&host, &tenant)?,
            host,
        })
    }

    /// What is compared with the baselines.
    fn subjects(&self) -> [Subject; 4] {
        let subject = |name, request, baseline, bar| Subject {
            name,
            request,
            process: self.host.id(),
            baseline,
            bar: Some(bar),
        };
        [
            subject("public route, fresh sandbox", self.public.order(), ORDER, 0.60),
            subject("public route, reused instance", self.reused.order(), ORDER, 0.80),
            subject("everything on", self.everything.order(), ORDER, 0.50),
            subject("one row by key", self.public.row(), ROW, 0.60),
        ]
    }

    /// The same of another host, compared with the first one's.
    fn subjects_beside(&self) -> impl Iterator<Item = Subject> {
        let places = BASELINES..;
        self.subjects()
            .into_iter()
            .zip(places)
            .map(|(subject, baseline)| Subject {
                baseline,
                bar: None,
                ..subject
            })
    }
}

fn baselines(native: &Native) -> Vec<Subject> {
    let bare = Requests::native(native.address);
    let baseline = |name, request, baseline| Subject {
        name,
        request,
        process: native.id(),
        baseline,
        bar: None,
    };
    vec![
        baseline("bare axum", bare.order(), ORDER),
        baseline("bare axum, one row with sqlx", bare.row(), ROW),
    ]
}

/// As much as is answered, in turn.
fn closed(options: &Options, generator: &Generator, subjects: &[Subject]) -> Result<Vec<Samples>> {
    let (rounds, span) = (options.scaled(3, 7), Duration::from_secs(options.scaled(2, 4)));
    let mut measured = vec![Samples::default(); subjects.len()];
    for round in 0..=rounds {
        for (subject, samples) in subjects.iter().zip(&mut measured) {
            let span = if round == 0 { span / 2 } else { span };
            let before = (Spent::by(subject.process)?, generator.spent()?);
            let speed = generator
                .run(&subject.request, CONNECTIONS, span)
                .context(subject.name)?;
            // The first round warms up.
            if round > 0 {
                samples.push(
                    speed,
                    Spent::by(subject.process)?.since(before.0),
                    generator.spent()?.since(before.1),
                );
            }
        }
    }
    Ok(measured)
}

impl Samples {
    fn push(&mut self, speed: Speed, server: Spent, generator: Spent) {
        self.per_second.push(speed.per_second);
        self.p50_ms.push(speed.p50);
        self.p99_ms.push(speed.p99);
        self.own_us.push(server.own / speed.answers);
        self.kernel_us.push(server.kernel / speed.answers);
        self.generator_us.push(generator.all() / speed.answers);
    }
}

/// Where in its code each of them spends it. After the figures, which the samples would slow down.
fn profiles(
    options: &Options,
    generator: &Generator,
    subjects: &[Subject],
    folder: &Path,
) -> Result<Vec<Value>> {
    let span = Duration::from_secs(options.scaled(2, 8));
    say("  where it is spent, by the samples of perf:\n");
    let profile = |subject: &Subject| {
        let (process, request) = (subject.process, &subject.request);
        let profile = Profile::of(process, generator, request, CONNECTIONS, span, folder)?;
        profile.say(subject.name);
        Ok(json!({ "name": subject.name, "profile": profile }))
    };
    subjects.iter().map(profile).collect()
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
