//! Tests of the OpenAPI document: its ids, roles, references and examples.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::TestApp;
use crate::storage::conformance::{endpoint, plugin, tenant};

async fn document() -> Value {
    let app = TestApp::start().await;
    let answer = app.get("", "/api/v1/openapi.json").await;
    assert_eq!(answer.status, StatusCode::OK);
    answer.body
}

/// All operations with method and path.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    found
}

/// All references in a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_operation_has_an_id_of_its_own_that_stays() {
    let document = document().await;
    let mut ids = Vec::new();
    for (method, path, operation) in operations(&document) {
        ids.push(format!(
            "{} {method} {path}",
            operation["operationId"].as_str().unwrap()
        ));
    }
    ids.sort();
    let unique: BTreeSet<&str> = ids.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    insta::assert_snapshot!(ids.join("\n").replace("/api/v1", ""), @"
    activations_get GET /tenants/{tenant}/plugins/{plugin}/activation
    activations_list GET /tenants/{tenant}/plugins/{plugin}/activations
    activations_put PUT /tenants/{tenant}/plugins/{plugin}/activation
    activations_roll_back POST /tenants/{tenant}/plugins/{plugin}/activation/back
    api_keys_create POST /tenants/{tenant}/api-keys
    api_keys_list GET /tenants/{tenant}/api-keys
    api_keys_revoke DELETE /tenants/{tenant}/api-keys/{api_key}
    audit_list GET /tenants/{tenant}/audit
    audit_list_all GET /audit
    components_audit GET /components/audit
    components_list GET /components
    dead_letters_list GET /tenants/{tenant}/dead-letters
    dead_letters_purge DELETE /tenants/{tenant}/dead-letters
    dead_letters_retry POST /tenants/{tenant}/dead-letters/retry
    invocations_calls GET /tenants/{tenant}/plugins/{plugin}/calls
    invocations_get GET /tenants/{tenant}/invocations/{invocation}
    invocations_list GET /tenants/{tenant}/invocations
    invocations_usage GET /tenants/{tenant}/usage
    jobs_cancel POST /tenants/{tenant}/jobs/{id}/cancel
    jobs_export GET /tenants/{tenant}/jobs/export
    jobs_get GET /tenants/{tenant}/jobs/{id}
    jobs_list GET /tenants/{tenant}/jobs
    jobs_pause POST /tenants/{tenant}/plugins/{plugin}/jobs/{job}/pause
    jobs_pause_all POST /tenants/{tenant}/plugins/{plugin}/jobs/pause
    jobs_purge DELETE /tenants/{tenant}/jobs
    jobs_resume DELETE /tenants/{tenant}/plugins/{plugin}/jobs/{job}/pause
    jobs_resume_all DELETE /tenants/{tenant}/plugins/{plugin}/jobs/pause
    jobs_retry POST /tenants/{tenant}/jobs/{id}/retry
    jobs_summary GET /tenants/{tenant}/jobs/summary
    limits_get GET /tenants/{tenant}/limits
    limits_get_of_plugin GET /tenants/{tenant}/plugins/{plugin}/limits
    logs_list GET /tenants/{tenant}/logs
    mail_delete DELETE /tenants/{tenant}/mail/{mail}
    mail_delete_smtp DELETE /tenants/{tenant}/mail/smtp
    mail_export GET /tenants/{tenant}/mail/export
    mail_get GET /tenants/{tenant}/mail/{mail}
    mail_get_failures GET /tenants/{tenant}/mail/failures
    mail_get_sender_domains GET /tenants/{tenant}/mail/sender-domains
    mail_get_smtp GET /tenants/{tenant}/mail/smtp
    mail_html GET /tenants/{tenant}/mail/{mail}/html
    mail_list GET /tenants/{tenant}/mail
    mail_purge DELETE /tenants/{tenant}/mail
    mail_put_failures PUT /tenants/{tenant}/mail/failures
    mail_put_sender_domains PUT /tenants/{tenant}/mail/sender-domains
    mail_put_smtp PUT /tenants/{tenant}/mail/smtp
    mail_resend POST /tenants/{tenant}/mail/{mail}/resend
    mail_search GET /tenants/{tenant}/mail/search
    mail_source GET /tenants/{tenant}/mail/{mail}/source
    mail_suppress POST /tenants/{tenant}/mail/suppressions
    mail_suppressions GET /tenants/{tenant}/mail/suppressions
    mail_text GET /tenants/{tenant}/mail/{mail}/text
    mail_unsuppress DELETE /tenants/{tenant}/mail/suppressions/{address}
    node GET /node
    node_healthz GET /-/healthz
    node_metrics GET /metrics
    node_readyz GET /-/readyz
    plans_delete DELETE /plans/{plan}
    plans_get GET /plans/{plan}
    plans_list GET /plans
    plans_put PUT /plans/{plan}
    plugins_change PATCH /tenants/{tenant}/plugins/{plugin}
    plugins_delete DELETE /tenants/{tenant}/plugins/{plugin}
    plugins_get GET /tenants/{tenant}/plugins/{plugin}
    plugins_list GET /tenants/{tenant}/plugins
    plugins_restore POST /tenants/{tenant}/plugins/{plugin}/restore
    schedules_list GET /tenants/{tenant}/schedules
    schedules_run POST /tenants/{tenant}/plugins/{plugin}/schedules/{schedule}/run
    secrets_delete DELETE /tenants/{tenant}/secrets/{name}
    secrets_list GET /tenants/{tenant}/secrets
    secrets_put PUT /tenants/{tenant}/secrets/{name}
    settings_delete_setting DELETE /tenants/{tenant}/plugins/{plugin}/config/{setting}
    settings_get_config GET /tenants/{tenant}/plugins/{plugin}/config
    settings_get_grants GET /tenants/{tenant}/plugins/{plugin}/grants
    settings_put_config PUT /tenants/{tenant}/plugins/{plugin}/config
    settings_put_grants PUT /tenants/{tenant}/plugins/{plugin}/grants
    settings_put_setting PUT /tenants/{tenant}/plugins/{plugin}/config/{setting}
    tenants_change PATCH /tenants/{tenant}
    tenants_create POST /tenants
    tenants_delete DELETE /tenants/{tenant}
    tenants_get GET /tenants/{tenant}
    tenants_list GET /tenants
    tenants_restore POST /tenants/{tenant}/restore
    tokens_create POST /tenants/{tenant}/tokens
    tokens_create_host POST /tokens
    tokens_list GET /tenants/{tenant}/tokens
    tokens_list_host GET /tokens
    tokens_revoke DELETE /tenants/{tenant}/tokens/{token}
    tokens_revoke_host DELETE /tokens/{token}
    tokens_whoami GET /whoami
    versions_delete DELETE /tenants/{tenant}/plugins/{plugin}/versions/{version}
    versions_get GET /tenants/{tenant}/plugins/{plugin}/versions/{version}
    versions_list GET /tenants/{tenant}/plugins/{plugin}/versions
    versions_upload POST /tenants/{tenant}/plugins/{plugin}/versions
    webhooks_change_endpoint PATCH /tenants/{tenant}/webhooks/endpoints/{endpoint}
    webhooks_create_endpoint POST /tenants/{tenant}/webhooks/endpoints
    webhooks_delete_deliveries DELETE /tenants/{tenant}/webhooks/deliveries
    webhooks_delete_endpoint DELETE /tenants/{tenant}/webhooks/endpoints/{endpoint}
    webhooks_export_deliveries GET /tenants/{tenant}/webhooks/deliveries/export
    webhooks_get_delivery GET /tenants/{tenant}/webhooks/deliveries/{delivery}
    webhooks_get_endpoint GET /tenants/{tenant}/webhooks/endpoints/{endpoint}
    webhooks_list GET /tenants/{tenant}/webhooks
    webhooks_list_deliveries GET /tenants/{tenant}/webhooks/deliveries
    webhooks_list_endpoints GET /tenants/{tenant}/webhooks/endpoints
    webhooks_received_delete DELETE /tenants/{tenant}/webhooks/received/{received}
    webhooks_received_get GET /tenants/{tenant}/webhooks/received/{received}
    webhooks_received_list GET /tenants/{tenant}/webhooks/received
    webhooks_received_replay POST /tenants/{tenant}/webhooks/received/{received}/replay
    webhooks_replay_delivery POST /tenants/{tenant}/webhooks/deliveries/{delivery}/replay
    webhooks_replay_endpoint POST /tenants/{tenant}/webhooks/endpoints/{endpoint}/replay
    webhooks_rotate_secret POST /tenants/{tenant}/webhooks/endpoints/{endpoint}/rotate
    webhooks_test_endpoint POST /tenants/{tenant}/webhooks/endpoints/{endpoint}/test
    ");
}

#[tokio::test]
async fn every_operation_says_which_role_it_needs_and_names_each_parameter_once() {
    let document = document().await;
    for (method, path, operation) in operations(&document) {
        let description = operation["description"].as_str().unwrap();
        assert!(description.contains("Needs "), "{method} {path}: {description}");
        let mut names = BTreeSet::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let name = (parameter["in"].to_string(), parameter["name"].to_string());
            assert!(names.insert(name), "{method} {path}: {parameter}");
        }
    }
}

#[tokio::test]
async fn what_is_referred_to_is_there_and_what_is_there_is_referred_to() {
    let document = document().await;
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let there: BTreeSet<String> = schemas
        .keys()
        .map(|name| format!("#/components/schemas/{name}"))
        .collect();
    let difference: Vec<_> = used.symmetric_difference(&there).collect();
    assert!(difference.is_empty(), "{difference:?}");
}

#[tokio::test]
async fn every_json_body_has_an_example_that_works() {
    let document = document().await;
    let mut tried = 0;
    for (method, path, operation) in operations(&document) {
        let Some(body) = operation["requestBody"]["content"].get("application/json") else {
            continue;
        };
        let example = body
            .get("example")
            .unwrap_or_else(|| panic!("{method} {path} has no example"));
        let app = TestApp::start().await;
        let token = app.operator().await;
        let acme = tenant(&*app.db, "acme-test").await;
        plugin(&*app.db, acme.id, "orders").await;
        let endpoint = endpoint(&*app.db, acme.id, &[">"]).await;
        let filled = path
            .replace("{endpoint}", &endpoint.id.to_string())
            .replace("{tenant}", "acme-test")
            .replace("{plugin}", "orders")
            .replace("{plan}", "large")
            .replace("{setting}", "currency")
            .replace("{name}", "payment_key");
        let answer = app.call(&token, &method, &filled, Some(example.clone())).await;
        match operation["operationId"].as_str().unwrap() {
            // No version has the digest of the example.
            "activations_put" => {
                let said = answer.problem();
                assert!(said.starts_with("404 not-found: no version is named"), "{said}");
            }
            id => assert!(answer.status.is_success(), "{id}: {}", answer.problem()),
        }
        tried += 1;
    }
    assert!(tried >= 11, "{tried} bodies");
}

#[tokio::test]
async fn a_plan_is_put_as_it_is_answered_or_as_limits_alone() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let put = async |body: Value| app.call(&operator, "PUT", "/api/v1/plans/gold", Some(body)).await;
    let wanted = json!({ "name": "gold", "limits": { "memory": "32MiB" } });
    for body in [
        json!({ "memory": "32MiB" }),
        json!({ "limits": { "memory": "32MiB" } }),
        wanted.clone(),
    ] {
        assert_eq!(put(body).await.body, wanted);
    }
    let refusals: BTreeMap<&str, Value> = [
        ("another name", json!({ "name": "silver", "limits": {} })),
        ("a name alone", json!({ "name": "gold" })),
        ("a typing error", json!({ "limits": { "memroy": "1MiB" } })),
        ("a typing error without limits", json!({ "memroy": "1MiB" })),
        ("no object", json!([])),
    ]
    .into();
    let mut answers = Vec::new();
    for (what, body) in refusals {
        let problem = put(body).await.problem();
        let problem = problem.split(", expected").next().unwrap().to_owned();
        answers.push(format!("{what}: {problem}"));
    }
    insta::assert_snapshot!(answers.join("\n"), @"
    a name alone: 400 invalid-request: missing field `limits`
    a typing error: 400 invalid-request: limits.memroy: unknown field `memroy`
    a typing error without limits: 400 invalid-request: memroy: unknown field `memroy`
    another name: 400 invalid-request: name: it is `silver`, but the address names the plan `gold`
    no object: 400 invalid-request: invalid length 0
    ");
}
