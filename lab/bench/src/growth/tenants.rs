//! Measures the cost of many tenants with a database each: requests to one tenant, and requests to
//! all in turn.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rig::host::Host;
use rig::process::{descriptors, resident};
use rig::{Bar, Measured};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CONNECTIONS, PATHS, launch};
use crate::options::Options;
use crate::profile::Profile;
use crate::say;
use crate::series::Series;
use crate::subject;
use crate::traffic::{Generator, Repeated};

/// The wanted throughput with all tenants in turn, as a fraction of the throughput with one.
const WANTED: f64 = 0.5;

/// Runs the measurement.
pub(super) fn run(options: &Options, generator: &Generator) -> Result<(Measured, Vec<Value>)> {
    let span = Duration::from_secs(options.scaled(2, 6));
    let host = launch(options).start()?;
    let guest = subject::rows()?.plugin("rows").guest();
    let scratch = TempDir::with_prefix("mortise-bench-")?;
    let (mut made, mut raw, mut ratio) = (0, Vec::new(), Series::default());
    let counts: &[usize] = options.scaled(&[1, 10], &[1, 100, 1_000]);
    for count in counts {
        for number in made..*count {
            let tenant = subject::tenant(&host, &name(number))?;
            tenant
                .deploy(&guest)
                .with_context(|| format!("tenant {number}"))?;
        }
        made = *count;
        let asked = [rows(&host, 1), rows(&host, *count)];
        let (mut one, mut all, mut p99) = (Series::default(), Series::default(), Series::default());
        for round in 0..=options.scaled(2, 5) {
            let [of_one, of_all] =
                [&asked[0], &asked[1]].map(|asked| generator.run(asked, CONNECTIONS, span));
            let (of_one, of_all) = (of_one?, of_all?);
            if round > 0 {
                one.push(of_one.per_second);
                all.push(of_all.per_second);
                p99.push(of_all.p99);
            }
        }
        ratio = all.over(&one);
        let (resident, descriptors) = (resident(host.id())? >> 20, descriptors(host.id())?);
        say(&format!(
            "  {count:>6} tenants: one row by key of each in turn {:>7.0}/s, p99 {:.2} ms, of one of them {:>7.0}/s, \
             {resident} MiB resident, {descriptors} descriptors\n",
            all.median(),
            p99.median(),
            one.median(),
        ));
        raw.push(json!({
            "tenants": count, "one": one, "all": all, "p99_ms": p99,
            "resident_mib": resident, "descriptors": descriptors,
        }));
        if options.profile {
            let (process, span) = (host.id(), Duration::from_secs(options.scaled(2, 8)));
            for (name, request) in ["one of them", "in turn"].into_iter().zip(&asked) {
                let profile = Profile::of(process, generator, request, CONNECTIONS, span, scratch.path())?;
                profile.say(&format!("{name} of {count} tenants"));
                raw.push(json!({ "tenants": count, "asked": name, "profile": profile }));
            }
        }
    }
    let (least, most) = ratio.spread();
    let name = format!("one row by key, {made} tenants in turn / one of them");
    let bar = Measured::new(&name, ratio.median(), Bar::AtLeast(WANTED));
    Ok((bar.note(format!("{least:.2} to {most:.2}")).raw(ratio), raw))
}

/// Requests for one row by key, to `count` tenants in turn.
fn rows(host: &Host, count: usize) -> Repeated {
    let turns = if count == 1 { 1 } else { PATHS };
    Repeated {
        address: host.public,
        paths: (0..turns)
            .map(|turn| format!("/{}/rows/rows/7", name(turn % count)))
            .collect(),
        headers: Vec::new(),
        body: None,
    }
}

fn name(number: usize) -> String {
    format!("tenant-{number}")
}
