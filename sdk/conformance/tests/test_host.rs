//! The cases against the test host of the SDK.

#[path = "../src/cases.rs"]
mod cases;

use cases::{Answer, SECRETS, SETTINGS};
use conformance::{APP, FUNCTIONS};
use mortise_sdk::context::Principal;
use mortise_sdk::testing::Host;

#[test]
fn the_test_host_answers_every_case() {
    let mut complaints = Vec::new();
    for case in cases::all() {
        let mut builder = Host::builder().plugin(env!("CARGO_MANIFEST_DIR"));
        for (key, value) in SETTINGS {
            builder = builder.config(key, value);
        }
        for (name, value) in SECRETS {
            builder = builder.secret(name, value);
        }
        let host = builder.start();
        let function = case.path.strip_prefix("/-/functions/");
        let mut request = match function {
            Some(name) => host.function(name),
            None => host.request(&case.method, &case.path),
        };
        if let Some(scopes) = &case.scopes {
            let scopes = scopes.clone();
            request = request.principal(Principal {
                scopes,
                ..Principal::api_key("test-key", [])
            });
        }
        for (name, value) in &case.headers {
            request = request.header(name, value);
        }
        if let Some(body) = case.body() {
            request = request.body(body);
        }
        let response = match function {
            Some(_) => request.call(&FUNCTIONS),
            None => request.send(&APP),
        };
        let answer = Answer {
            status: response.status(),
            headers: response.headers().to_vec(),
            body: response.text().to_owned(),
        };
        complaints.extend(case.complaints(&answer));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
