//! Measures the cost of many plugins and many tenants: throughput, memory, and the first request to
//! a version on disk.

mod cold;
mod tenants;

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mortise::config::RuntimeSection;
use rig::guest::Recipe;
use rig::host::{Host, Launch};
use rig::process::resident;
use rig::{Bar, Measured};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::options::Options;
use crate::profile::Profile;
use crate::say;
use crate::series::Series;
use crate::subject::{self, Found, ORDER};
use crate::traffic::{Generator, Repeated};

const CONNECTIONS: usize = 32;

/// The number of paths in one round. The n-th plugin gets 1/n of the requests of the first one
/// (Zipf).
const PATHS: usize = 4_096;

/// Plugins of one tenant.
const PER_TENANT: usize = 100;

/// Runs the measurement.
pub fn run(options: &Options) -> Result<Found> {
    let folder = tempfile::TempDir::with_prefix("mortise-bench-")?;
    let generator = Generator::find(folder.path())?;
    let (mut bars, mut plugins_raw) = (Vec::new(), Vec::new());
    if options.plugins > 0 {
        say("growth: distinct components, each a plugin of its own\n");
        (bars, plugins_raw) = plugins(options, &generator)?;
    }
    say("growth: tenants, each with a database of its own\n");
    let (bar, tenants) = tenants::run(options, &generator)?;
    bars.push(bar);
    Ok(Found {
        bars,
        raw: json!({ "plugins": plugins_raw, "tenants": tenants }),
    })
}

fn plugins(options: &Options, generator: &Generator) -> Result<(Vec<Measured>, Vec<Value>)> {
    let span = Duration::from_secs(options.scaled(2, 6));
    let host = launch(options).start()?;
    let recipe = subject::orders()?;
    let scratch = TempDir::with_prefix("mortise-bench-")?;
    let (mut deployed, mut raw, mut bars) = (0, Vec::new(), Vec::new());
    let counts: &[usize] = options.scaled(&[1, 30], &[1, 100, 1_000, 10_000]);
    // A single plugin is measured again with each count, because the speed of a machine varies.
    let mut skewed_last = (Series::default(), Series::default());
    for count in counts.iter().filter(|count| **count <= options.plugins) {
        deploy(&host, &recipe, deployed..*count)?;
        deployed = *count;
        let asked = [
            requests(&host, 1, |_| 0),
            requests(&host, *count, |turn| turn % count),
            requests(&host, *count, |turn| zipf(turn, *count)),
        ];
        let mut series = [Series::default(), Series::default(), Series::default()];
        let mut p99 = Series::default();
        for round in 0..=options.scaled(2, 5) {
            for (request, series) in asked.iter().zip(&mut series) {
                let speed = generator.run(request, CONNECTIONS, span)?;
                if round > 0 {
                    series.push(speed.per_second);
                    p99.push(speed.p99);
                }
            }
        }
        let [one, even, skewed] = series;
        let resident = resident(host.id())? >> 20;
        say(&format!(
            "  {count:>6} plugins: even {:>7.0}/s, skewed {:>7.0}/s, one of them {:>7.0}/s, p99 {:.2} ms, {resident} MiB resident\n",
            even.median(),
            skewed.median(),
            one.median(),
            p99.median(),
        ));
        raw.push(json!({
            "plugins": count, "one": one, "even": even, "skewed": skewed, "p99_ms": p99, "resident_mib": resident,
        }));
        skewed_last = (skewed, one);
        if options.profile {
            let (process, span) = (host.id(), Duration::from_secs(options.scaled(2, 8)));
            for (name, request) in ["one of them", "even"].into_iter().zip(&asked) {
                let profile = Profile::of(process, generator, request, CONNECTIONS, span, scratch.path())?;
                profile.say(&format!("{name} of {count}"));
                raw.push(json!({ "plugins": count, "asked": name, "profile": profile }));
            }
        }
    }
    let ratio = skewed_last.0.over(&skewed_last.1);
    let name = format!("throughput with {deployed} plugins, skewed / one of them");
    bars.push(Measured::new(&name, ratio.median(), Bar::AtLeast(0.9)));
    let (bar, colds) = cold::run(options, host.stop()?, deployed)?;
    bars.push(bar);
    raw.extend(colds);
    Ok((bars, raw))
}

fn launch(options: &Options) -> Launch {
    // All components fit into memory, because their cost in memory is measured. The number of warm
    // memories leaves room for the mappings of 10,000 components (docs/operations.md). Compiling
    // takes most of the time.
    subject::launch(options)
        .set("runtime.loaded", "16GiB")
        .set("runtime.memories_warm", "3000")
        .set("compile.workers", &workers().to_string())
}

/// Deploys plugins by number. Each has its own version, so that their components are distinct.
/// Tenants are deployed in parallel, because uploads of one tenant wait for each other.
fn deploy(host: &Host, recipe: &Recipe, numbers: Range<usize>) -> Result<()> {
    let tenants = by_tenant(numbers);
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        while let Some(numbers) = tenants.get(next.fetch_add(1, Ordering::Relaxed)) {
            deploy_for_tenant(host, recipe, numbers.clone())?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers()).map(|_| scope.spawn(work)).collect();
        let mut joined = workers.into_iter().map(ScopedJoinHandle::join);
        joined.try_for_each(|worker| worker.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn deploy_for_tenant(host: &Host, recipe: &Recipe, numbers: Range<usize>) -> Result<()> {
    let (name, _) = names(numbers.start);
    let tenant = match numbers.start % PER_TENANT {
        0 => subject::tenant(host, &name)?,
        _ => host.known(&name),
    };
    for number in numbers {
        let (_, plugin) = names(number);
        let version = format!("1.0.{number}");
        let guest = recipe.clone().plugin(&plugin).version(&version).guest();
        tenant
            .deploy(&guest)
            .with_context(|| format!("plugin {number}"))?;
    }
    Ok(())
}

/// The plugin numbers of each tenant.
fn by_tenant(numbers: Range<usize>) -> Vec<Range<usize>> {
    let tenants = numbers.start / PER_TENANT..numbers.end.div_ceil(PER_TENANT);
    let of_tenant = |tenant: usize| {
        let (first, end) = (tenant * PER_TENANT, (tenant + 1) * PER_TENANT);
        first.max(numbers.start)..end.min(numbers.end)
    };
    tenants.map(of_tenant).collect()
}

/// The number of the host's threads for plugins.
fn workers() -> usize {
    RuntimeSection::default().threads()
}

fn names(number: usize) -> (String, String) {
    (
        format!("tenant-{}", number / PER_TENANT),
        format!("plugin-{}", number % PER_TENANT),
    )
}

fn requests(host: &Host, count: usize, choose: impl Fn(usize) -> usize) -> Repeated {
    let turns = if count == 1 { 1 } else { PATHS.max(count) };
    Repeated {
        address: host.public,
        paths: (0..turns)
            .map(|turn| {
                let (tenant, plugin) = names(choose(turn));
                format!("/{tenant}/{plugin}/orders")
            })
            .collect(),
        headers: Vec::new(),
        body: Some(ORDER.to_owned()),
    }
}

/// Returns the plugin of a request; the n-th gets 1/n of the requests of the first. The sequence is
/// mixed by a multiplier that is coprime to its length.
fn zipf(turn: usize, count: usize) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand turns and plugins")]
    let part = ((turn * 2_654_435_761) % PATHS) as f64 / PATHS as f64;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand turns and plugins")]
    let place = (count as f64 + 1.0).powf(part);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 1 to the number of plugins"
    )]
    let place = place as usize;
    place.clamp(1, count) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plugin_is_deployed_once_and_with_its_tenant() {
        assert_eq!(by_tenant(0..1).len(), 1);
        assert_eq!(by_tenant(99..101), [99..100, 100..101]);
        assert_eq!(by_tenant(30..250), [30..100, 100..200, 200..250]);
    }

    #[test]
    fn the_first_plugins_are_asked_most() {
        let mut asked = vec![0; 100];
        for turn in 0..PATHS {
            asked[zipf(turn, 100)] += 1;
        }
        assert!(asked[0] > 400 && asked[0] < 800, "{asked:?}");
        assert!(
            asked[0] > asked[1] && asked[1] > asked[9] && asked[9] >= asked[99],
            "{asked:?}"
        );
        assert_eq!(zipf(PATHS - 1, 1), 0);
    }
}
