//! Tests of every limit: one below, at and one above the need, with the metric in the record. Times
//! cannot be met exactly; for those, one limit is too short and one is long enough.

mod cache;
mod counts;
pub mod greedy;
mod handed_over;
mod jobs;
mod logs;
mod mail;
mod outbound;
mod requests;
mod sandbox;
mod sql;
mod uploads;
mod webhooks;

use std::collections::BTreeSet;

use mortise::domain::limits::Limits;
use serde_json::{Value, json};

use crate::app::{App, Reply, TestTenant};
use crate::gateway::load;

/// The test of each limit. A test below fails if one is missing.
const TESTS: &[(&str, fn())] = &[
    ("memory", sandbox::memory),
    ("cpu", sandbox::cpu),
    ("wall", sandbox::wall),
    ("request_body", requests::request_body),
    ("request_backlog", requests::request_backlog),
    ("response_body", requests::response_body),
    ("response_backlog", requests::response_backlog),
    ("concurrency", requests::concurrency),
    ("queue", requests::queue),
    ("instances_kept", crate::reuse::instances_kept),
    (
        "share",
        load::a_tenant_with_a_larger_share_gets_more_of_a_busy_thread,
    ),
    ("queue_wait", requests::queue_wait),
    ("requests_per_second", requests::requests_per_second),
    ("request_burst", requests::request_burst),
    ("host_calls", handed_over::host_calls),
    ("host_call_bytes", handed_over::host_call_bytes),
    ("handles", handed_over::handles),
    ("sql_statements", sql::sql_statements),
    ("sql_time", sql::sql_time),
    ("sql_rows", sql::sql_rows),
    ("sql_bytes", sql::sql_bytes),
    ("sql_memory", sql::sql_memory),
    ("database_size", sql::database_size),
    ("cache_size", cache::cache_size),
    ("cache_value", cache::cache_value),
    ("http_requests", outbound::http_requests),
    ("http_concurrency", outbound::http_concurrency),
    ("http_response_body", outbound::http_response_body),
    ("http_connect", outbound::http_connect),
    ("http_first_byte", outbound::http_first_byte),
    ("http_total", outbound::http_total),
    ("job_cpu", jobs::job_cpu),
    ("job_wall", jobs::job_wall),
    ("job_payload", jobs::job_payload),
    ("jobs_enqueued", jobs::jobs_enqueued),
    ("steps", jobs::steps),
    ("step_bytes", jobs::step_bytes),
    ("mail_recipients", mail::mail_recipients),
    ("mail_size", mail::mail_size),
    ("mail_attachments", mail::mail_attachments),
    ("mails_per_hour", mail::mails_per_hour),
    ("mails_kept", mail::mails_kept),
    ("jobs_running", jobs::jobs_running),
    ("job_backlog", jobs::job_backlog),
    ("job_depth", jobs::job_depth),
    ("jobs_kept", jobs::jobs_kept),
    ("dead_jobs_kept", jobs::dead_jobs_kept),
    ("schedules", jobs::schedules),
    ("schedule_runs_per_hour", jobs::schedule_runs_per_hour),
    ("webhook_endpoints", counts::webhook_endpoints),
    ("deliveries_kept", crate::webhooks_out::deliveries_kept),
    ("webhook_body", webhooks::webhook_body),
    ("webhooks_kept", webhooks::webhooks_kept),
    ("webhook_size", webhooks::webhook_size),
    ("log_lines", logs::log_lines),
    ("log_bytes", logs::log_bytes),
    ("log_bytes_per_second", logs::log_bytes_per_second),
    ("log_burst", logs::log_burst),
    ("log_size", logs::log_size),
    ("records_kept", logs::records_kept),
    ("component_size", uploads::component_size),
    ("compiled_size", uploads::compiled_size),
    ("plugins", counts::plugins),
    ("api_keys", counts::api_keys),
    ("tokens", counts::tokens),
    ("secrets", counts::secrets),
    ("config_entries", counts::config_entries),
    ("suppressions", counts::suppressions),
    ("versions_kept", uploads::versions_kept),
];

#[test]
fn every_limit_has_a_test() {
    let tested: BTreeSet<&str> = TESTS.iter().map(|(name, _)| *name).collect();
    let limits: BTreeSet<&str> = Limits::ALL.iter().map(|limit| limit.name).collect();
    assert_eq!(tested, limits);
    assert_eq!(tested.len(), TESTS.len(), "a limit stands twice in the table");
}

/// A manifest can lower every limit of an invocation; a tenant's limit in a manifest is rejected.
#[test]
fn a_manifest_lowers_every_limit_of_an_invocation_and_none_of_the_tenant() {
    use mortise::domain::limits::Owner;
    use mortise::domain::manifest::Manifest;
    let mut value = toml_of(&Limits::default());
    for limit in Limits::ALL {
        let low = match value.remove(limit.name).unwrap() {
            Value::Number(_) => "1".to_owned(),
            Value::String(text) if text.ends_with('s') || text.ends_with('n') => "'1ms'".to_owned(),
            // An instance has at least one page of memory.
            _ if limit.name == "memory" => "'64KiB'".to_owned(),
            _ => "'1B'".to_owned(),
        };
        let manifest = format!(
            "[plugin]\nname = 'p'\nversion = '1'\n[limits]\n{} = {low}\n",
            limit.name
        );
        match (limit.owner, Manifest::parse(&manifest)) {
            (Owner::Invocation, Ok(manifest)) => {
                let lowered = toml_of(&Limits::default().lowered_by(&manifest.limits));
                assert_eq!(lowered[limit.name].to_string().replace('"', "'"), low);
            }
            (Owner::Tenant, Err(error)) => {
                assert!(error.to_string().contains("is the tenant's"), "{error}");
            }
            (owner, outcome) => panic!("{} of {owner:?}: {outcome:?}", limit.name),
        }
    }
}

fn toml_of(limits: &Limits) -> serde_json::Map<String, Value> {
    serde_json::to_value(limits).unwrap().as_object().unwrap().clone()
}

/// The values of a limit to test if `needed` is needed, each with whether it is enough.
pub fn around(needed: u64) -> [(u64, bool); 3] {
    [(needed - 1, false), (needed, true), (needed + 1, true)]
}

/// A limit in bytes.
fn bytes(count: u64) -> Value {
    json!(format!("{count}B"))
}

/// One metric in the record of the invocation that returned `reply`.
async fn usage(tenant: &TestTenant<'_>, reply: &Reply, figure: &str) -> u64 {
    let record = tenant.invocation(reply).await;
    record["usage"][figure]
        .as_u64()
        .unwrap_or_else(|| panic!("{figure}: {record}"))
}

/// The amount that the host retains of the tenant's invocations.
async fn kept(app: &App, tenant: &TestTenant<'_>, what: &str) -> u64 {
    app.host.flush().await;
    let page = app
        .admin("GET", &tenant.path("/usage"))
        .send()
        .await
        .expect(200)
        .json();
    page["kept"][what]
        .as_u64()
        .unwrap_or_else(|| panic!("{what}: {page}"))
}
