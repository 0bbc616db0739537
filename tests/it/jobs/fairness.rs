//! A test of fairness: a tenant with long jobs leaves a slot to the others.

use serde_json::json;

use super::gate::Gate;
use super::{Plugin, WORK, writing};
use crate::app::App;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_job_of_a_tenant_does_not_wait_for_long_jobs_of_another() {
    let gate = Gate::start().await;
    let app = App::configured(|config| {
        Gate::configure(config);
        config.jobs.running = 2;
    })
    .await;
    let busy = Plugin::deploy_for(&app, "busy", &format!("{WORK}{}", gate.section())).await;
    for _ in 0..3 {
        busy.enqueue_steps(json!([gate.step("busy")])).await;
    }
    gate.arrived("busy", 1).await;
    let quiet = Plugin::deploy_for(&app, "quiet", WORK).await;
    let first = quiet.enqueue(writing("first")).await;
    quiet.until(&first, "done").await;
    assert_eq!(gate.count("busy"), 1);
    gate.open("busy");
    busy.until_idle().await;
    assert_eq!(gate.count("busy"), 3);
}
