//! Tests of activation and rollback: which version is served.

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

/// The digests of the stored versions, the newest first.
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

/// The version that is served.
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
async fn an_upload_alone_changes_nothing_and_a_rollback_is_one_step() {
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
    let first = acme.deploy_bundled(version(1)).await;
    let unknown = format!("sha256:{}", "0".repeat(64));
    acme.activate("p", &unknown)
        .await
        .expect_problem(404, "not-found");
    acme.activate("q", &unknown)
        .await
        .expect_problem(404, "not-found");
    acme.activate("p", "")
        .await
        .expect_problem(400, "invalid-request");
    let reply = acme.activate("p", "9.9.9").await;
    let problem = reply.expect_problem(404, "not-found").json();
    assert_eq!(problem["candidates"], json!([first]), "{problem}");
    let back = acme.path("/plugins/p/activation/back");
    app.admin("POST", &back)
        .send()
        .await
        .expect_problem(409, "conflict");
    app.admin("POST", &acme.path("/plugins/nope/activation/back"))
        .send()
        .await
        .expect_problem(404, "not-found");
    assert_eq!(serving(&app).await, "1.0.0");
}

#[tokio::test]
async fn rollbacks_lead_further_back_and_never_to_what_was_rolled_back_from() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let mut versions = Vec::new();
    for number in 1..=3 {
        versions.push(acme.deploy_bundled(version(number)).await);
    }
    let back = acme.path("/plugins/p/activation/back");
    let roll_back = async || app.admin("POST", &back).send().await;
    for (wanted, goes_back_to) in [("2.0.0", 2), ("1.0.0", 1)] {
        let reply = roll_back().await.expect(200).json();
        assert_eq!(reply["rolled_back_to"], goes_back_to);
        assert_eq!(serving(&app).await, wanted);
    }
    let reply = roll_back().await.expect_problem(409, "conflict").json();
    assert!(reply["hint"].as_str().unwrap().contains("by its name"), "{reply}");
    assert_eq!(serving(&app).await, "1.0.0");

    // An explicit activation starts a new history.
    acme.activate("p", &versions[2]).await.expect(200);
    roll_back().await.expect(200);
    assert_eq!(serving(&app).await, "1.0.0");
    roll_back().await.expect_problem(409, "conflict");
    let activations = app
        .admin("GET", &acme.path("/plugins/p/activations"))
        .send()
        .await;
    let activations = activations.expect(200).json();
    let told: Vec<_> = activations["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|activation| activation["rolled_back_to"].clone())
        .collect();
    assert_eq!(
        told,
        [
            json!(1),
            json!(null),
            json!(1),
            json!(2),
            json!(null),
            json!(null),
            json!(null)
        ]
    );
}

#[tokio::test]
async fn a_version_is_named_by_its_digest_a_part_of_it_or_the_author() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.deploy_bundled(version(1)).await;
    let second = acme.deploy_bundled(version(2)).await;
    let digits = first.strip_prefix("sha256:").unwrap();
    for (name, wanted) in [
        ("1.0.0", "1.0.0"),
        ("2.0.0", "2.0.0"),
        (&digits[..12], "1.0.0"),
        (second.as_str(), "2.0.0"),
        (&first[..20], "1.0.0"),
    ] {
        acme.activate("p", name).await.expect(200);
        assert_eq!(serving(&app).await, wanted, "{name}");
        let shown = app
            .admin("GET", &acme.path(&format!("/plugins/p/versions/{name}")))
            .send()
            .await;
        assert_eq!(shown.expect(200).json()["author_version"], wanted, "{name}");
    }
    // The author may use a version name twice; then it identifies neither.
    let manifest = open_manifest("p", "[limits]\nsql_rows = 7\n");
    let other = acme.deploy_bundled(bundled(CAPABILITIES, &manifest, &[])).await;
    let reply = acme.activate("p", "1.0.0").await;
    let problem = reply.expect_problem(409, "conflict").json();
    let candidates = problem["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 2, "{problem}");
    for digest in [&first, &other] {
        assert!(candidates.contains(&json!(digest)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(digest), "{problem}");
    }
    // Three digits are too short for a digest.
    acme.activate("p", &digits[..3])
        .await
        .expect_problem(404, "not-found");
}

#[tokio::test]
async fn a_version_that_does_not_serve_can_be_deleted() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let first = acme.deploy_bundled(version(1)).await;
    let uploaded = acme.upload("p", version(2)).await.expect(201).json();
    let second = uploaded["version"].as_str().unwrap();
    let delete = async |name: &str| {
        let path = acme.path(&format!("/plugins/p/versions/{name}"));
        app.admin("DELETE", &path).send().await
    };
    delete("1.0.0").await.expect_problem(409, "conflict");
    // A component that was stored within a minute is not removed.
    app.advance(std::time::Duration::from_secs(60));
    delete(second).await.expect(204);
    delete(second).await.expect_problem(404, "not-found");
    assert_eq!(versions(&app, &acme).await, [first]);
    assert_eq!(app.files("components").len(), 1);
    assert_eq!(serving(&app).await, "1.0.0");
}

#[tokio::test]
async fn limits_above_the_host_s_are_refused_and_those_above_the_tenant_s_are_told() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let with_limit = |limit: &str| {
        bundled(
            CAPABILITIES,
            &open_manifest("p", &format!("[limits]\n{limit}\n")),
            &[],
        )
    };
    let reply = acme.upload("p", with_limit("memory = '10GiB'")).await;
    let problem = reply.expect_problem(422, "invalid-manifest").json();
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("plugin.toml: limits.memory: 10GiB is more than any plan of this host can give"),
        "{detail}"
    );
    assert!(app.files("components").is_empty());

    let uploaded = acme
        .upload("p", with_limit("sql_rows = 20000"))
        .await
        .expect(201)
        .json();
    let activated = acme.activate("p", uploaded["version"].as_str().unwrap()).await;
    let warnings = activated.expect(200).json()["warnings"].clone();
    assert_eq!(
        warnings,
        json!(["limits.sql_rows: the manifest says 20000, but the tenant has 10000, which applies"])
    );
}

#[tokio::test]
async fn an_activation_tells_where_the_plugin_is() {
    let app = App::configured(|config| {
        config.server.public_url = "https://api.example.com/".parse().unwrap();
    })
    .await;
    let acme = app.tenant("acme").await;
    let uploaded = acme.upload("p", version(1)).await.expect(201).json();
    let activated = acme.activate("p", uploaded["version"].as_str().unwrap()).await;
    assert_eq!(
        activated.expect(200).json()["url"],
        "https://api.example.com/acme/p"
    );
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
    // Both have the same time, so the time does not order them.
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
