//! Tests of recompilation after an upgrade: active versions are compiled again in the background,
//! the most used first.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::ECHO;

use crate::app::{App, open_manifest};

/// Requests of each plugin before the upgrade.
const USED: [(&str, u32); 3] = [("some", 2), ("often", 3), ("rare", 1)];

/// The name of another engine.
const ANOTHER_ENGINE: &[u8] = b"another engine";

/// A host with active, used plugins, and the file of each one's compiled code.
async fn used() -> (App, Vec<PathBuf>) {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let mut files = Vec::new();
    for (plugin, requests) in USED {
        let version = acme.deploy(ECHO, &open_manifest(plugin, ""), &[]).await;
        let digest = version.strip_prefix("sha256:").unwrap();
        let code = app.files("compiled").into_iter();
        let code = code.filter(|file| file.file_stem().is_some_and(|stem| stem == digest));
        files.extend(code);
        for _ in 0..requests {
            app.get(&format!("/acme/{plugin}/x")).send().await.expect(200);
        }
    }
    assert_eq!(files.len(), USED.len());
    until_current(&app).await;
    app.host.flush().await;
    (app, files)
}

/// Makes the folder look as if another engine had compiled all code.
fn of_another_engine(data: &Path, files: &[PathBuf]) {
    std::fs::write(data.join("compiled.engine"), ANOTHER_ENGINE).unwrap();
    for file in files {
        std::fs::write(file, "code of another engine, with a MAC that says so").unwrap();
    }
}

async fn recompile(app: &App) -> Value {
    let node = app.admin("GET", "/node").send().await.expect(200).json();
    node["recompile"].clone()
}

/// Waits until the host has recorded that all code is of its engine.
async fn until_current(app: &App) {
    let data = app.files("components")[0].parent().unwrap().to_owned();
    let engine = data.with_file_name("compiled.engine");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(180);
    let is_current = || std::fs::read(&engine).is_ok_and(|named| named != ANOTHER_ENGINE);
    while !is_current() {
        assert!(tokio::time::Instant::now() < deadline, "{}", recompile(app).await);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn written(file: &PathBuf) -> std::time::SystemTime {
    std::fs::metadata(file).unwrap().modified().unwrap()
}

#[tokio::test]
async fn an_upgrade_compiles_the_most_used_versions_first() {
    let (app, files) = used().await;
    assert_eq!(
        recompile(&app).await,
        json!({ "to_do": 0, "done": 0, "failed": 0, "failures": [] })
    );
    let app = app
        .restart_after(async |data| of_another_engine(data, &files), |_| {})
        .await;
    until_current(&app).await;
    assert_eq!(
        recompile(&app).await,
        json!({ "to_do": 0, "done": 3, "failed": 0, "failures": [] })
    );
    let gauges = app.gauges().await;
    assert_eq!(
        (&gauges["recompile_done"], &gauges["compile_workers"]),
        (&json!(3), &json!(0))
    );
    let [some, often, rare] = [0, 1, 2].map(|plugin| written(&files[plugin]));
    assert!(often < some && some < rare, "{often:?}, {some:?}, {rare:?}");
    for (plugin, _) in USED {
        app.get(&format!("/acme/{plugin}/x")).send().await.expect(200);
    }
    assert_eq!(written(&files[2]), rare, "nothing was compiled for a request");
    assert_eq!(app.readiness().await, "ready");

    let app = app.restart().await;
    for (plugin, _) in USED {
        app.get(&format!("/acme/{plugin}/x")).send().await.expect(200);
    }
    assert_eq!(recompile(&app).await["done"], 0, "nothing is left to do");
}

#[tokio::test]
async fn a_damaged_file_makes_the_next_start_check_all() {
    let (app, files) = used().await;
    let app = app
        .restart_after(
            async |_| {
                for file in &files {
                    std::fs::write(file, "damaged").unwrap();
                }
            },
            |config| config.limits.wall = "60s".parse().unwrap(),
        )
        .await;
    app.get("/acme/some/x").send().await.expect(200);
    let app = app.restart().await;
    until_current(&app).await;
    assert_eq!(recompile(&app).await["done"], 2);
}

/// Code that cannot be stored serves from memory.
#[tokio::test]
async fn code_that_cannot_be_stored_serves_all_the_same() {
    let (app, files) = used().await;
    let app = app
        .restart_after(
            async |_| {
                // No file can take the place of a folder.
                std::fs::remove_file(&files[0]).unwrap();
                std::fs::create_dir(&files[0]).unwrap();
            },
            |config| config.limits.wall = "60s".parse().unwrap(),
        )
        .await;
    for _ in 0..2 {
        app.get("/acme/some/x").send().await.expect(200);
    }
    assert!(files[0].is_dir());
    let node = app.admin("GET", "/node").send().await.expect(200).json();
    assert_eq!(node["unavailable"], json!([]));
}

#[tokio::test]
async fn a_version_that_is_asked_for_does_not_wait_for_those_before_it() {
    let (app, files) = used().await;
    let app = app
        .restart_after(
            async |data| of_another_engine(data, &files),
            // On a busy machine compiling takes long.
            |config| config.limits.wall = "60s".parse().unwrap(),
        )
        .await;
    app.get("/acme/rare/x").send().await.expect(200);
    until_current(&app).await;
    let [some, _, rare] = [0, 1, 2].map(|plugin| written(&files[plugin]));
    assert!(rare < some, "{rare:?}, {some:?}");
    assert_eq!(recompile(&app).await["done"], 3);
}

#[tokio::test]
async fn a_component_that_is_damaged_stops_no_other_one() {
    let (app, files) = used().await;
    let often = files[1].file_stem().unwrap().to_owned();
    let mut components = app.files("components").into_iter();
    let component = components.find(|file| file.file_stem() == Some(&often)).unwrap();
    let intact = std::fs::read(&component).unwrap();
    let app = app
        .restart_after(
            async |data| {
                of_another_engine(data, &files);
                std::fs::write(&component, "damaged").unwrap();
            },
            |_| {},
        )
        .await;
    until_current(&app).await;
    let progress = recompile(&app).await;
    assert_eq!(
        (&progress["to_do"], &progress["done"], &progress["failed"]),
        (&json!(0), &json!(2), &json!(1))
    );
    let failure = &progress["failures"][0];
    assert_eq!(failure["version"], format!("sha256:{}", often.to_str().unwrap()));
    assert!(
        failure["reason"].as_str().unwrap().contains("missing or damaged"),
        "{failure}"
    );
    assert_eq!(
        app.readiness().await,
        "ready\nrecompile: 0 to do, 2 done, 1 failed; see /api/v1/node"
    );
    for plugin in ["some", "rare"] {
        app.get(&format!("/acme/{plugin}/x")).send().await.expect(200);
    }
    let broken = app.get("/acme/often/x").send().await;
    assert!(broken.status.is_server_error(), "{}", broken.text());
    // After the repair, the next start compiles the rest.
    let app = app
        .restart_after(async |_| std::fs::write(&component, &intact).unwrap(), |_| {})
        .await;
    app.until_gauges(|gauges| gauges["recompile_done"] == 1).await;
    app.get("/acme/often/x").send().await.expect(200);
}

#[tokio::test]
async fn a_host_that_drains_compiles_nothing_more_and_the_next_start_goes_on() {
    let (app, files) = used().await;
    let app = app
        .restart_after(async |data| of_another_engine(data, &files), |_| {})
        .await;
    app.host.start_draining();
    app.until_gauges(|gauges| gauges["compile_workers"] == 0).await;
    let done = recompile(&app).await["done"].as_u64().unwrap();
    assert!(done < 3, "{done}");
    let app = app.restart().await;
    until_current(&app).await;
    let progress = recompile(&app).await;
    assert_eq!((&progress["to_do"], &progress["failed"]), (&json!(0), &json!(0)));
    assert!(progress["done"].as_u64().unwrap() > 0, "{progress}");
}
