//! Tests of component files: they exist as long as a tenant has the version.

use std::time::Duration;

use serde_json::json;
use test_artifacts::{ECHO, NO_HTTP_HANDLER};

use crate::app::{App, bundled, open_manifest};

/// A component that was stored within this time is not removed.
const MIN_AGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_refused_upload_leaves_no_files() {
    let app = App::start().await;
    let component = bundled(NO_HTTP_HANDLER, &open_manifest("silent", ""), &[]);
    let refused = app.tenant("acme").await.upload("silent", component).await;
    assert_eq!(refused.problem(), (422, "invalid-component".to_owned()));
    assert_eq!(
        [app.files("components").len(), app.files("compiled").len()],
        [0, 0]
    );
}

#[tokio::test]
async fn tenants_share_files_until_the_last_one_is_gone() {
    let app = App::start().await;
    let component = bundled(ECHO, &open_manifest("echo", ""), &[]);
    for name in ["acme", "globex"] {
        app.tenant(name).await.deploy_bundled(component.clone()).await;
    }
    for (name, left) in [("acme", 1), ("globex", 0)] {
        app.advance(MIN_AGE);
        assert_eq!(app.files("components").len(), left.max(1));
        let path = format!("/tenants/{name}?purge=true");
        app.admin("DELETE", &path).send().await.expect(204);
        app.host.maintain().await;
        assert_eq!(
            [app.files("components").len(), app.files("compiled").len()],
            [left, left]
        );
    }
}

#[tokio::test]
async fn a_component_that_was_stored_a_moment_ago_is_removed_later() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let version = acme.deploy(ECHO, &open_manifest("echo", ""), &[]).await;
    let listed = async || {
        let list = app.admin("GET", "/components").send().await.expect(200).json();
        list["items"].clone()
    };
    let size = std::fs::metadata(&app.files("components")[0]).unwrap().len();
    let stored = json!({
        "version": version, "size": size, "stored_at": "2023-11-14T22:13:20.000Z", "used": true, "compiled": true,
    });
    assert_eq!(listed().await, json!([stored]));
    app.advance(MIN_AGE - Duration::from_millis(1));
    app.admin("DELETE", "/tenants/acme?purge=true")
        .send()
        .await
        .expect(204);
    app.host.maintain().await;
    // The files that only this node uses are removed at once.
    let left = listed().await;
    assert_eq!(
        (&left[0]["used"], &left[0]["compiled"]),
        (&json!(false), &json!(false))
    );
    assert!(app.files("compiled").is_empty());
    app.advance(Duration::from_millis(1));
    app.host.maintain().await;
    assert_eq!(listed().await, json!([]));
}

#[tokio::test]
async fn a_start_sets_aside_what_nobody_knows_and_deletes_nothing() {
    let app = App::start().await;
    app.tenant("acme")
        .await
        .deploy(ECHO, &open_manifest("echo", ""), &[])
        .await;
    let kept = app.files("components");
    let folder = kept[0].parent().unwrap().to_owned();
    let tenants = folder.with_file_name("databases");
    let half_written = folder.join("half.tmp");
    let unknown = [
        folder.join("00".repeat(32)).with_extension("wasm"),
        tenants.join("01a20428-3fce-71c0-a325-c0e8a3c9cff0.db"),
    ];
    for path in unknown.iter().chain([&half_written]) {
        std::fs::write(path, "left by a crash, or newer than mortise.db").unwrap();
    }
    let app = app.restart().await;
    assert_eq!(app.files("components"), kept);
    assert!(!half_written.exists());
    assert!(!unknown.iter().any(|path| path.exists()));
    let node = app.admin("GET", "/node").send().await.expect(200).json();
    let aside = node["set_aside"].as_array().unwrap();
    assert_eq!(aside.len(), 2, "{aside:?}");
    for path in aside {
        let content = std::fs::read_to_string(path.as_str().unwrap()).unwrap();
        assert_eq!(content, "left by a crash, or newer than mortise.db");
    }
    app.get("/acme/echo/x").send().await.expect(200);
}
