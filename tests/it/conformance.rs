//! Conformance tests of the SDK's test host: the real host and the test host must give the same
//! results.

#[path = "../../sdk/conformance/src/cases.rs"]
mod cases;

/// The limits of the test host, which are not part of the SDK's public API.
#[path = "../../sdk/rust/src/testing/budget.rs"]
#[expect(dead_code, reason = "the test only reads the limits")]
mod budget;

use std::collections::BTreeMap;

use cases::{Answer, SECRETS, SETTINGS};
use mortise::components::bundle::Bundle;
use serde_json::json;
use test_artifacts::CONFORMANCE;

use crate::app::App;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/conformance");

/// The plugin as one component with its manifest.
pub fn bundled() -> Vec<u8> {
    let component = std::fs::read(CONFORMANCE).unwrap();
    let bundle = Bundle::from_folder(FOLDER.as_ref()).unwrap();
    bundle.embed(&component).unwrap()
}

#[tokio::test]
async fn the_host_answers_every_case_as_the_test_host_does() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (name, value) in SECRETS {
        acme.secret(name, value).await;
    }
    acme.deploy_bundled(bundled()).await;
    let settings: BTreeMap<_, _> = SETTINGS.into();
    acme.configure("conformance", &json!(settings)).await;

    let mut complaints = Vec::new();
    for case in cases::all() {
        let mut call = app.call(&case.method, &format!("/acme/conformance{}", case.path));
        if let Some(scopes) = &case.scopes {
            let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
            call = call.bearer(&acme.key(&scopes).await);
        }
        for (name, value) in &case.headers {
            call = call.header(name, value);
        }
        if let Some(body) = case.body() {
            call = call.body(body);
        }
        let reply = call.send().await;
        let headers = reply.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        let answer = Answer {
            status: reply.status.as_u16(),
            headers: headers.collect(),
            body: reply.text(),
        };
        complaints.extend(case.complaints(&answer));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_test_host_has_the_default_limits_of_the_host() {
    let host = mortise::domain::limits::Limits::default();
    // Each field is named, so that a new one must be compared as well.
    let budget::Limits {
        host_calls,
        sql_statements,
        http_requests,
        request_body,
        response_body,
        cache_value,
        job_payload,
        jobs_enqueued,
        steps,
        step_bytes,
        mail_recipients,
        mail_size,
        mail_attachments,
    } = budget::Limits::default();
    assert_eq!(
        (host_calls, sql_statements, http_requests),
        (host.host_calls, host.sql_statements, host.http_requests)
    );
    assert_eq!(
        (jobs_enqueued, steps, budget::JOB_DEPTH, budget::JOB_BACKLOG),
        (host.jobs_enqueued, host.steps, host.job_depth, host.job_backlog)
    );
    assert_eq!(
        (mail_recipients, mail_attachments),
        (host.mail_recipients, host.mail_attachments)
    );
    assert_eq!(
        [
            request_body,
            response_body,
            cache_value,
            job_payload,
            step_bytes,
            mail_size
        ]
        .map(|size| size.0),
        [
            host.request_body,
            host.response_body,
            host.cache_value,
            host.job_payload,
            host.step_bytes,
            host.mail_size
        ]
        .map(|size| size.as_usize())
    );
}
