//! Measures a host from socket to socket over the loopback, compared with bare axum: throughput,
//! and latency at fixed rates.

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

/// Connections of the closed and of the open loops.
const CONNECTIONS: usize = 32;

/// Requests per second of the open loops.
const RATES: [f64; 2] = [1_000.0, 5_000.0];

/// A measured request and its baseline.
struct Subject {
    name: &'static str,
    request: Repeated,
    /// The id of the server's process.
    process: u32,
    /// The index of its baseline in the list.
    baseline: usize,
    /// The wanted ratio.
    bar: Option<f64>,
    /// Whether it belongs to the other host.
    is_beside: bool,
}

/// The samples of a subject.
#[derive(Clone, Default, Serialize)]
struct Samples {
    per_second: Series,
    p50_ms: Series,
    p99_ms: Series,
    /// Processor time per request in microseconds: the server's user time, its system time, and the
    /// generator's time.
    own_us: Series,
    kernel_us: Series,
    generator_us: Series,
}

/// A host with the measured plugins.
struct Deployed {
    host: Host,
    public: Requests,
    reused: Requests,
    everything: Requests,
}

/// The subject with a key, a scope, a rate and a schema.
const EVERYTHING: &str = "everything on";

/// The wanted throughput as a fraction of the other host's, with all features.
const BAR_BESIDE: f64 = 0.97;

/// Indexes in the list, which begins with the baselines.
const ORDER: usize = 0;
const ROW: usize = 1;
const BASELINES: usize = 2;

/// Runs the measurements.
pub fn run(options: &Options) -> Result<Found> {
    let folder = tempfile::TempDir::with_prefix("mortise-bench-")?;
    let generator = Generator::find(folder.path())?;
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
    let mut bars = report::bars(&subjects[..measured], &samples);
    report::spent(&subjects[..measured], &samples);
    bars.extend(report::compared(&subjects, &samples, measured));
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

    /// The subjects that are compared with the baselines.
    fn subjects(&self) -> [Subject; 4] {
        let subject = |name, request, baseline, bar| Subject {
            name,
            request,
            process: self.host.id(),
            baseline,
            bar: Some(bar),
            is_beside: false,
        };
        [
            subject("public route, fresh sandbox", self.public.order(), ORDER, 0.60),
            subject("public route, reused instance", self.reused.order(), ORDER, 0.80),
            subject(EVERYTHING, self.everything.order(), ORDER, 0.50),
            subject("one row by key", self.public.row(), ROW, 0.60),
        ]
    }

    /// The same subjects of the other host, compared with those of the first.
    fn subjects_beside(&self) -> impl Iterator<Item = Subject> {
        let places = BASELINES..;
        self.subjects()
            .into_iter()
            .zip(places)
            .map(|(subject, baseline)| Subject {
                baseline,
                bar: (subject.name == EVERYTHING).then_some(BAR_BESIDE),
                is_beside: true,
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
        is_beside: false,
    };
    vec![
        baseline("bare axum", bare.order(), ORDER),
        baseline("bare axum, one row with sqlx", bare.row(), ROW),
    ]
}

/// The order of the subjects in a round. A subject of the other host follows the same one of the
/// first host, or precedes it in every second round, so that variations of the machine affect both.
fn order(subjects: &[Subject], round: usize) -> Vec<usize> {
    let besides = |place: usize| {
        let others = subjects.iter().enumerate();
        others.filter(move |(_, other)| other.is_beside && other.baseline == place)
    };
    let own = subjects
        .iter()
        .enumerate()
        .filter(|(_, subject)| !subject.is_beside);
    own.flat_map(|(place, _)| {
        let mut places: Vec<usize> = std::iter::once(place)
            .chain(besides(place).map(|(other, _)| other))
            .collect();
        if round % 2 == 1 {
            places.reverse();
        }
        places
    })
    .collect()
}

/// Measures the throughput of all subjects in turn.
fn closed(options: &Options, generator: &Generator, subjects: &[Subject]) -> Result<Vec<Samples>> {
    // Two hosts differ by less than a host and a baseline, so more rounds are needed.
    let full = if options.beside.is_some() { 9 } else { 7 };
    let (rounds, span) = (options.scaled(3, full), Duration::from_secs(options.scaled(2, 4)));
    let mut measured = vec![Samples::default(); subjects.len()];
    for round in 0..=rounds {
        for place in order(subjects, round) {
            let (subject, samples) = (&subjects[place], &mut measured[place]);
            let span = if round == 0 { span / 2 } else { span };
            let before = (Spent::by(subject.process)?, generator.spent()?);
            let speed = generator
                .run(&subject.request, CONNECTIONS, span)
                .context(subject.name)?;
            // The first round is for warming up.
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

/// Profiles each subject, after the measurements, because sampling slows it down.
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

/// Measures the latency at fixed request rates.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_compared_take_turns() {
        let subject = |name, baseline, is_beside| Subject {
            name,
            request: Requests::native(([127, 0, 0, 1], 1).into()).order(),
            process: 0,
            baseline,
            bar: None,
            is_beside,
        };
        let subjects = [
            subject("native", 0, false),
            subject("a", 0, false),
            subject("b", 0, false),
            subject("a", 1, true),
            subject("b", 2, true),
        ];
        assert_eq!(order(&subjects, 0), [0, 1, 3, 2, 4]);
        assert_eq!(order(&subjects, 1), [0, 3, 1, 4, 2]);
    }
}
