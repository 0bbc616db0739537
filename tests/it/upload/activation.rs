//! Which version serves.

use serde_json::json;
use test_artifacts::{CAPABILITIES, ECHO};

use crate::app::{App, TestTenant, bundled, open_manifest};

const ASKING: &str = "
[database]
[http]
allow = ['https://api.example.com']
[secrets]
use = ['key']
reveal = ['token']
";

/// The digests of the versions that are kept, the newest first.
async fn versions(app: &App, acme: &TestTenant<'_>) -> Vec<String> {
    let path = acme.path("/plugins/p/versions");
    let page = app.admin("GET", &path).send().await.expect(200).json();
    let items = page["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["version"].as_str().unwrap().to_owned())
        .collect()
}

fn version(number: u32) -> Vec<u8> {
    let manifest = open_manifest("p", "").replace("1.0.0", &format!("{number}.0.0"));
    bundled(CAPABILITIES, &manifest, &[])
}

/// The version that answers.
async fn serving(app: &App) -> String {
    let reply = app.get("/acme/p/context").send().await.expect(200).json();
    reply["version"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn nothing_serves_before_its_grants_are_there() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let bytes = bundled(ECHO, &open_manifest("p", ASKING), &[]);
    let uploaded = acme.upload("p", bytes).await.expect(201).json();
    let digest = uploaded["version"].as_str().unwrap();
    let missing = json!([
        { "kind": "database" },
        { "kind": "http", "name": "https://api.example.com" },
        { "kind": "secret-use", "name": "key" },
        { "kind": "secret-reveal", "name": "token" },
    ]);
    let reply = acme
        .activate("p", digest)
        .await
        .expect_problem(422, "grants-missing");
    assert_eq!(reply.json()["missing"], missing);
    app.get("/acme/p/").send().await.expect_problem(404, "not-found");

    let half = json!({ "database": true, "secrets": { "use": ["key", "token"] } });
    acme.grant("p", &half).await;
    let reply = acme
        .activate("p", digest)
        .await
        .expect_problem(422, "grants-missing");
    assert_eq!(reply.json()["missing"], json!([missing[1], missing[3]]));

    let all = json!({
        "database": true,
        "http": ["https://api.example.com"],
        "secrets": { "use": ["key"], "reveal": ["token"] },
    });
    acme.grant("p", &all).await;
    acme.activate("p", digest).await.expect(200);
    app.get("/acme/p/x").send().await.expect(200);
}

#[tokio::test]
async fn an_upload_alone_changes_nothing_and_the_way_back_is_one_step() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.deploy_bundled(version(1)).await;
    acme.upload("p", version(2)).await.expect(201);
    assert_eq!(serving(&app).await, "1.0.0");
    let second = acme.deploy_bundled(version(2)).await;
    assert_eq!(serving(&app).await, "2.0.0");

    let back = acme.path("/plugins/p/activation/back");
    let activated = app.admin("POST", &back).send().await.expect(200).json();
    assert_eq!(activated["version"], first);
    assert_eq!(activated["previous"], second);
    assert_eq!(activated["warnings"], json!([]));
    assert_eq!(serving(&app).await, "1.0.0");
}

#[tokio::test]
async fn a_version_that_is_not_there_cannot_be_activated() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy_bundled(version(1)).await;
    let unknown = format!("sha256:{}", "0".repeat(64));
    acme.activate("p", &unknown)
        .await
        .expect_problem(404, "not-found");
    acme.activate("q", &unknown)
        .await
        .expect_problem(404, "not-found");
    acme.activate("p", "1.0.0")
        .await
        .expect_problem(400, "invalid-request");
    let back = acme.path("/plugins/p/activation/back");
    app.admin("POST", &back)
        .send()
        .await
        .expect_problem(404, "not-found");
    assert_eq!(serving(&app).await, "1.0.0");
}

#[tokio::test]
async fn the_oldest_versions_leave_but_never_the_active_one() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.limit(&json!({ "versions_kept": 2 })).await;
    let active = acme.deploy_bundled(version(1)).await;
    let mut uploaded = Vec::new();
    for number in 2..=4 {
        app.advance(std::time::Duration::from_secs(1));
        let reply = acme.upload("p", version(number)).await.expect(201).json();
        uploaded.push(reply["version"].as_str().unwrap().to_owned());
    }
    let kept = versions(&app, &acme).await;
    assert!(kept.contains(&active) && kept.contains(&uploaded[2]), "{kept:?}");
    assert!(!kept.contains(&uploaded[0]), "{kept:?}");
    assert!(kept.len() <= 3, "{kept:?}");
    acme.activate("p", &uploaded[0])
        .await
        .expect_problem(404, "not-found");
    assert_eq!(serving(&app).await, "1.0.0");
}

#[tokio::test]
async fn what_was_just_uploaded_stays_even_where_only_one_version_is_kept() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.limit(&json!({ "versions_kept": 1 })).await;
    acme.deploy_bundled(version(1)).await;
    // At the same moment: its age does not tell it from others.
    acme.deploy_bundled(version(2)).await;
    assert_eq!(serving(&app).await, "2.0.0");
}

#[tokio::test]
async fn a_version_that_left_one_tenant_stays_with_another() {
    let app = App::start().await;
    let (acme, other) = (app.tenant("acme").await, app.tenant("other").await);
    other.deploy_bundled(version(1)).await;
    acme.deploy_bundled(version(1)).await;
    let path = acme.path("/plugins/p");
    app.admin("DELETE", &path).send().await.expect(204);
    app.get("/acme/p/context")
        .send()
        .await
        .expect_problem(404, "not-found");
    app.get("/other/p/context").send().await.expect(200);
}
