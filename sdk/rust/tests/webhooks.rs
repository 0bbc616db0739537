//! Webhooks on the test host, with the manifest of a plugin.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use mortise_sdk::jobs::Origin;
use mortise_sdk::prelude::*;
use mortise_sdk::testing::{Host, HostBuilder, Outcome};

const MANIFEST: &str = r#"
    [plugin]
    name = "shop"
    version = "1.0.0"

    [[job]]
    name = "on-hook"

    [[webhook]]
    name = "stripe"
    scheme = "stripe"
    secrets = ["stripe_hook", "stripe_next"]
    job = "on-hook"

    [[webhook]]
    name = "standard"
    scheme = "standard"
    secrets = ["standard_hook"]
    job = "on-hook"
    tolerance = "10s"

    [[webhook]]
    name = "github"
    scheme = "github"
    secrets = ["github_hook"]
    job = "on-hook"

    [[webhook]]
    name = "slack"
    scheme = "hmac"
    secrets = ["slack_hook"]
    job = "on-hook"
    header = "X-Slack-Signature"
    prefix = "v0="
    timestamp_header = "x-slack-request-timestamp"
    signed = "v0:{timestamp}:{body}"
"#;

/// Names the webhook and its headers in the cache.
fn on_hook(body: serde_json::Value, job: &Job) -> Result<(), Error> {
    let Origin::Webhook { name, headers } = &job.origin else {
        return Err(Error::bad_request("it is no webhook"));
    };
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    cache::set("last", format!("{name} {body} {}", names.join(" ")), None)?;
    Ok(())
}

mortise_sdk::jobs! { "on-hook" => on_hook }

/// The folder of the plugin. Each test has its own, so that they can run at once.
fn builder(test: &str) -> HostBuilder {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("mortise-webhooks-{test}"));
    fs::create_dir_all(&folder).expect("the folder can be made");
    fs::write(folder.join("plugin.toml"), MANIFEST).expect("the folder is there");
    Host::builder().plugin(folder).at(1_000_000_000)
}

fn host(test: &str) -> Host {
    builder(test)
        .secret("stripe_hook", "whsec_one")
        .secret("standard_hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .secret("github_hook", "g")
        .secret("slack_hook", "s")
        .start()
}

#[test]
fn a_webhook_becomes_a_job_with_its_body_and_its_headers() {
    let host = host("job");
    for (webhook, header) in [
        ("stripe", "stripe-signature"),
        ("standard", "webhook-id webhook-timestamp webhook-signature"),
        ("github", "x-github-delivery x-hub-signature-256"),
        ("slack", "x-slack-signature x-slack-request-timestamp"),
    ] {
        let response = host.webhook(webhook).body("{}").send();
        assert_eq!((response.status(), response.text()), (200, "{}"), "{webhook}");
        let attempts = host.run_jobs(&JOBS);
        assert_eq!(attempts[0].outcome, Outcome::Done, "{:?}", attempts[0].error);
        let last = cache::get("last").expect("the cache answers").expect("it is set");
        let wanted = format!("{webhook} {{}} {header}");
        assert_eq!(last.as_bytes(), wanted.as_bytes());
    }
}

#[test]
fn a_message_is_received_once() {
    let host = host("once");
    let event = serde_json::json!({ "id": "evt_1" });
    for _ in 0..2 {
        assert_eq!(host.webhook("stripe").json(&event).send().status(), 200);
    }
    assert_eq!(host.jobs().len(), 1);
    // The same event with another time is the same message, as Stripe sends it again.
    host.advance(Duration::from_secs(3_600));
    assert_eq!(host.webhook("stripe").json(&event).send().status(), 200);
    assert_eq!(host.jobs().len(), 1);
    for id in ["1", "2", "1"] {
        assert_eq!(host.webhook("github").id(id).body("{}").send().status(), 200);
    }
    assert_eq!(host.jobs().len(), 3);
}

#[test]
fn what_the_host_refuses_is_refused() {
    let host = host("refused");
    let now = 1_000_000;
    for (status, response) in [
        (400, host.webhook("stripe").body("{}").secret("whsec_two").send()),
        (400, host.webhook("stripe").body("{}").signature("00").send()),
        (400, host.webhook("stripe").body("{}").at(now - 301).send()),
        (400, host.webhook("stripe").body("{}").at(now + 301).send()),
        (200, host.webhook("stripe").body("{}").at(now + 300).send()),
        (400, host.webhook("standard").body("{}").at(now - 11).send()),
        (200, host.webhook("github").body("{}").at(0).send()),
        (
            413,
            host.webhook("github").body("x".repeat(256 * 1024 + 1)).send(),
        ),
    ] {
        assert_eq!(response.status(), status, "{}", response.text());
    }
    assert_eq!(host.jobs().len(), 2);
}

#[test]
fn either_secret_signs_while_one_is_replaced() {
    let host = builder("rolled").secret("stripe_next", "whsec_two").start();
    assert_eq!(host.webhook("stripe").body("{}").send().status(), 200);
    assert_eq!(
        host.webhook("stripe")
            .secret("whsec_one")
            .body("{}")
            .send()
            .status(),
        400
    );
    assert_eq!(host.webhook("github").body("{}").send().status(), 503);
}

#[test]
#[should_panic(expected = "no [[webhook]] named `paypal`")]
fn a_webhook_that_the_manifest_lacks_fails_the_test() {
    host("lacks").webhook("paypal").send();
}
