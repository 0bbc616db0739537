//! Measures the goodput at five times the capacity, and how soon excess requests are rejected.
//!
//! Four rejections per response, and the load generator on the same processors, reduce the goodput.
//! The shorter the plugin's work, the larger that part. Here it is ten milliseconds.

use rig::clock::spoken;
use rig::{Bar, Measured};
use std::time::Duration;

use anyhow::Result;
use load::{Call, ClosedLoop, Latencies, OpenLoop};
use serde_json::json;

use crate::figure::Figure;
use crate::stage::Stage;

pub const OVERLOAD: Figure = Figure {
    name: "overload",
    what: "five times the capacity, for a plugin that computes for ten milliseconds",
    run: measure,
};

const TIMES: f64 = 5.0;

fn measure(stage: &Stage) -> Result<Vec<Measured>> {
    let host = stage.measured()?;
    let tenant = host.tenant("figure-overload")?;
    // Concurrency and queue are the defaults. A rate limit would reject most requests before there
    // is an overload.
    tenant.limit(&json!({ "requests_per_second": 100_000, "request_burst": 100_000 }))?;
    tenant.deploy(&stage.guests.attacks)?;
    let call = Call::get(host.public, &format!("/{}/attacks/work", tenant.name));
    let span = Duration::from_secs(stage.scaled(1, 10));
    let capacity = ClosedLoop::new(call.clone(), 16, span).run()?;
    let possible = capacity.per_second(200);
    let overload = OpenLoop::new(call, possible * TIMES, span)
        .connections(1_000)
        .run()?;
    let goodput = overload.per_second(200) / possible.max(f64::MIN_POSITIVE);
    let mut refused = Latencies::default();
    for status in [429, 503] {
        refused.add(&overload.latency(status));
    }
    let note = format!(
        "capacity {possible:.0}/s, offered {:.0}/s: {}",
        possible * TIMES,
        overload.trouble()
    );
    let raw = json!({ "capacity": capacity, "overload": overload });
    Ok(vec![
        Measured::new("goodput at 5x / capacity", goodput, Bar::AtLeast(0.9))
            .note(note)
            .raw(raw),
        Measured::new(
            "time to refuse at p99, ms",
            refused.p99().as_secs_f64() * 1e3,
            Bar::AtMost(5.0),
        )
        .note(format!(
            "{} refused, {} at p50",
            refused.count(),
            spoken(refused.p50())
        )),
    ])
}
