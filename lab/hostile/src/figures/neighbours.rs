//! Measures the effect of another tenant's attacks on the good tenant: its p99 during the attack,
//! divided by its p99 before and after.

use rig::clock::{pass, spoken};
use rig::guest::{Guest, Recipe};
use rig::host::Host;
use rig::{Bar, Measured};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use load::{Call, OpenLoop, Report};
use serde_json::{Value, json};

use crate::figure::Figure;
use crate::stage::{GOOD_PATH, Stage};

pub const LOOPS: Figure = Figure {
    name: "loops",
    what: "the good tenant beside 16 endless loops",
    run: |stage| beside_calls(stage, "loops", &stage.guests.faults, "/loop", Value::Null),
};

pub const MEMORY: Figure = Figure {
    name: "memory",
    what: "the good tenant beside 16 plugins that take all their memory and write to it",
    run: |stage| {
        beside_calls(
            stage,
            "memory",
            &stage.guests.attacks,
            "/memory-flood",
            json!({ "mebibytes": 56 }),
        )
    },
};

pub const SQL: Figure = Figure {
    name: "sql",
    what: "the good tenant beside 16 plugins that query without end",
    run: |stage| beside_calls(stage, "sql", &stage.guests.attacks, "/sql-flood", json!({})),
};

pub const EGRESS: Figure = Figure {
    name: "egress",
    what: "the good tenant beside 16 plugins that wait for a server that is stuck",
    run: |stage| {
        let request = json!({ "url": stage.server.url("/never"), "timeout_ms": 1_000 });
        beside_calls(stage, "egress", &stage.guests.http_client, "/send", request)
    },
};

pub const LOGS: Figure = Figure {
    name: "logs",
    what: "the good tenant beside 16 plugins that log without end",
    run: |stage| {
        beside_calls(
            stage,
            "logs",
            &stage.guests.attacks,
            "/log-flood",
            json!({ "lines": 900 }),
        )
    },
};

pub const UPLOADS: Figure = Figure {
    name: "uploads",
    what: "the good tenant beside uploads without end",
    run: |stage| beside(stage, "uploads", uploads),
};

/// The highest allowed ratio of the p99.
const RATIO: f64 = 2.0;

/// Requests of the good tenant per second.
const RATE: f64 = 500.0;

/// Concurrent attackers, and the requests per second that the default plan allows them.
const ATTACKERS: usize = 16;
const PLAN: f64 = 1_000.0;

/// Runs the good tenant's requests for `time`.
pub fn good(host: &Host, rate: f64, time: Duration) -> Result<Report> {
    let call = Call::get(host.public, GOOD_PATH);
    Ok(OpenLoop::new(call, rate, time).connections(32).first().run()?)
}

/// The duration of each part.
pub fn span(stage: &Stage) -> Duration {
    Duration::from_millis(stage.scaled(700, 15_000))
}

/// The mean of the p99 before and after the attack.
pub fn alone(before: &Report, after: &Report) -> Duration {
    (before.latency(200).p99() + after.latency(200).p99()) / 2
}

fn beside_calls(stage: &Stage, name: &str, guest: &Guest, path: &str, input: Value) -> Result<Vec<Measured>> {
    beside(stage, name, |_, host, stop| {
        let tenant = host.tenant(&format!("figure-{name}"))?;
        tenant.deploy(guest)?;
        let path = format!("/{}/{}{path}", tenant.name, guest.plugin);
        let call = if input.is_null() {
            Call::get(host.public, &path)
        } else {
            Call::post(host.public, &path).body("application/json", input.to_string())
        };
        // The attack stays within its plan's rate: rejections beyond it are another measurement.
        let attack = OpenLoop::new(call, PLAN, Duration::from_secs(600))
            .connections(ATTACKERS)
            .behind()
            .start()?;
        while !stop.load(Ordering::Relaxed) {
            pass(Duration::from_millis(10));
        }
        let report = attack.stop();
        ensure!(
            report.responses(|_| true) > 0,
            "there was no attack: {}",
            report.trouble()
        );
        // Requests that were due while all attackers were busy were never sent.
        let attacks = report.responses(|_| true);
        Ok(format!(
            "{attacks} attacks, {} of them answered 200",
            report.latency(200).count()
        ))
    })
}

/// Uploads new components, four at a time, some of which are expensive to compile.
fn uploads(stage: &Stage, host: &Host, stop: &AtomicBool) -> Result<String> {
    let tenant = host.tenant("figure-uploads")?;
    let recipe = Recipe::of(test_artifacts::ECHO)?;
    let bomb = rig::wasm::functions(1, &rig::wasm::nested_loops(3_000));
    let (count, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let first = stage.random(1 << 30);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let number = first + count.fetch_add(1, Ordering::Relaxed);
                    let recipe = match number % 8 {
                        0 => Recipe::from_bytes("echo", bomb.clone()).without_routes(),
                        _ => recipe.clone(),
                    };
                    let guest = recipe.version(&number.to_string()).guest();
                    let taken = tenant
                        .upload("echo", &guest.component)
                        .is_ok_and(|reply| reply.status < 300);
                    refused.fetch_add(u64::from(!taken), Ordering::Relaxed);
                }
            });
        }
    });
    Ok(format!(
        "{} uploads, {} refused",
        count.into_inner(),
        refused.into_inner()
    ))
}

/// Measures the good tenant before, during and after an attack, which runs until it is stopped and
/// then returns a summary.
fn beside(
    stage: &Stage,
    name: &str,
    attack: impl Fn(&Stage, &Host, &AtomicBool) -> Result<String>,
) -> Result<Vec<Measured>> {
    let (host, span) = (stage.measured()?, span(stage));
    let before = good(host, RATE, span)?;
    let stop = AtomicBool::new(false);
    let (during, attacked) = std::thread::scope(|scope| {
        let good = scope.spawn(|| {
            // The attack is running before the measurement begins.
            pass(span / 10);
            let report = good(host, RATE, span);
            stop.store(true, Ordering::Relaxed);
            report
        });
        let attacked = attack(stage, host, &stop);
        // If the attack fails, the good tenant's requests are still awaited.
        let during = good
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (during, attacked)
    });
    let (during, attacked) = (during?, attacked?);
    // Wait until the queues are empty again.
    stage.look_around()?;
    let after = good(host, RATE, span)?;
    let alone = alone(&before, &after);
    let beside = during.latency(200).p99();
    let ratio = beside.as_secs_f64() / alone.as_secs_f64().max(1e-6);
    let failures = before.failures() + during.failures() + after.failures();
    #[expect(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
    let errors = failures as f64;
    let note = format!(
        "{} alone, {} beside it at {RATE}/s; {attacked}",
        spoken(alone),
        spoken(beside)
    );
    let trouble = [&before, &during, &after].map(Report::trouble).join("; ");
    Ok(vec![
        Measured::new(&format!("p99 beside {name} / alone"), ratio, Bar::AtMost(RATIO))
            .note(note)
            .raw(json!({ "before": before, "during": during, "after": after })),
        Measured::new(
            &format!("errors of the good tenant beside {name}"),
            errors,
            Bar::AtMost(0.0),
        )
        .note(if failures == 0 {
            format!("of {}", during.requests())
        } else {
            trouble
        }),
    ])
}
