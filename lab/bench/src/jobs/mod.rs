//! Measures jobs: throughput, the time until a job starts, and fairness between tenants.
//!
//! Throughput is compared with a native handler on the same queue. Fairness is the wait of a tenant
//! beside another one with many jobs.

mod fairness;
mod latency;
mod native;
mod queue;
mod throughput;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use mortise::domain::id::TenantId;
use rig::guest::Recipe;
use rig::host::{Host, Launch};
use serde_json::json;

use crate::options::Options;
use crate::say;
use crate::subject::{self, Found};

/// The tenant with many jobs.
const TENANT: &str = "bench";

/// The plugin of all tenants.
const PLUGIN: &str = "jobs";

/// The jobs of the plugin.
const JOBS: &str = "[[job]]\nname = 'order'\n[[job]]\nname = 'wait'\n";

/// Runs the measurements.
pub fn run(options: &Options) -> Result<Found> {
    say("jobs: adding and running them\n");
    let runtime = Arc::new(tokio::runtime::Builder::new_multi_thread().enable_all().build()?);
    let host = launch(options).start()?;
    let tenant = furnish(&host, TENANT)?;
    let folder = host.stop()?;

    let throughput = throughput::run(options, &folder, tenant, &runtime)?;
    let latency = latency::run(options, &folder, tenant, &runtime, throughput.per_second)?;
    let (bar, fairness) = fairness::run(options, &folder, tenant, &runtime)?;
    Ok(Found {
        bars: vec![throughput.bar, bar],
        raw: json!({ "throughput": throughput.raw, "latency": latency, "fairness": fairness }),
    })
}

/// A host whose limits for jobs are never reached. A tenant may use every slot that is not reserved
/// for tenants without running jobs.
fn launch(options: &Options) -> Launch {
    subject::launch(options)
        .set("limits.jobs_running", "1024")
        .set("limits.job_backlog", "1000000")
        .set("limits.jobs_kept", "1000000")
        .set("limits.jobs_enqueued", "1000")
        .set("limits.host_calls", "2000")
        .set("limits.sql_statements", "1000")
}

/// Creates a tenant with the plugin.
fn furnish(host: &Host, name: &str) -> Result<TenantId> {
    let tenant = subject::tenant(host, name)?;
    let guest = Recipe::of(test_artifacts::BENCH_PLUGIN)?
        .without_routes()
        .route("POST", "/enqueue", "'public'")
        .route("POST", "/enqueue/{times}", "'public'")
        .plugin(PLUGIN)
        .database(&[])
        .with(JOBS)
        .guest();
    tenant.deploy(&guest).context("the plugin with jobs")?;
    let id = host.admin().get(&tenant.path(""))?.ok()?["id"].clone();
    Ok(id.as_str().context("the id of a tenant")?.parse()?)
}
