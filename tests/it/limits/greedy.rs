//! Tests of guests that overuse what no capability counts.

use test_artifacts::{GREEDY, WASI};

use super::{bytes, usage};
use crate::app::{App, Reply, TestTenant, open_manifest};

async fn deploy(app: &App) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    acme.deploy(GREEDY, &open_manifest("greedy", "[limits]\nhandles = 100\n"), &[])
        .await;
    acme
}

async fn get(app: &App, path: &str) -> Reply {
    app.get(&format!("/acme/greedy/{path}")).send().await
}

#[tokio::test]
async fn random_bytes_are_bounded_for_each_call() {
    let app = App::start().await;
    deploy(&app).await;
    for count in [0, 65_535, 65_536] {
        assert_eq!(
            get(&app, &format!("random?{count}")).await.expect(200).text(),
            count.to_string()
        );
    }
    for count in [65_537, 1 << 32, 1 << 63, u64::MAX] {
        get(&app, &format!("random?{count}"))
            .await
            .expect_problem(502, "plugin-trapped");
    }
}

#[tokio::test]
async fn resources_of_its_own_are_bounded_while_they_are_held() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    assert_eq!(get(&app, "own?99").await.expect(200).text(), "99");
    assert_eq!(get(&app, "own-and-drop?20000").await.expect(200).text(), "20000");
    let reply = get(&app, "own?200000").await.expect_problem(502, "plugin-limit");
    assert_eq!(acme.invocation(&reply).await["blame"], "limit");
}

#[tokio::test]
async fn pollables_and_streams_of_wasi_are_bounded() {
    let app = App::start().await;
    deploy(&app).await;
    for what in ["pollables", "streams"] {
        assert_eq!(get(&app, &format!("{what}?40")).await.expect(200).text(), "40");
        get(&app, &format!("{what}?100000"))
            .await
            .expect_problem(502, "plugin-limit");
    }
}

#[tokio::test]
async fn memory_that_is_not_given_is_refused_in_the_way_of_webassembly() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    const REFUSED: &str = "4294967295";
    for pages in [65_535, 4_096, 1_024] {
        assert_eq!(
            get(&app, &format!("grow?{pages}")).await.expect(200).text(),
            REFUSED
        );
    }
    // Tables count as well, so the usage exceeds the pages.
    let held = usage(&acme, &get(&app, "grow?0").await.expect(200), "memory_bytes").await;
    acme.limit(&serde_json::json!({ "memory": bytes(held + (100 << 16)) }))
        .await;
    for (pages, given) in [(99, true), (100, true), (101, false)] {
        let before = get(&app, &format!("grow?{pages}")).await.expect(200).text();
        assert_eq!(before != REFUSED, given, "{pages}: {before}");
    }
}

#[tokio::test]
async fn a_million_trivial_calls_end_with_the_cpu_time() {
    let app = App::start().await;
    let acme = deploy(&app).await;
    acme.limit(&serde_json::json!({ "cpu": "20ms", "wall": "60s" }))
        .await;
    for what in ["random-often", "time-often"] {
        let path = format!("{what}?1000000000");
        get(&app, &path).await.expect_problem(504, "plugin-cpu");
    }
}

#[tokio::test]
async fn printing_without_end_ends_with_the_cpu_time_and_leaves_a_short_log() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    acme.deploy(WASI, &open_manifest("wasi", ""), &[]).await;
    acme.limit(&serde_json::json!({ "cpu": "300ms", "wall": "60s", "log_bytes": "10KiB" }))
        .await;
    let reply = app.get("/acme/wasi/print-for-ever").send().await;
    let reply = reply.expect_problem(504, "plugin-cpu");
    let used = acme.invocation(&reply).await["usage"].clone();
    assert!(
        (1..=10 << 10).contains(&used["log_bytes"].as_u64().unwrap()),
        "{used}"
    );
    assert!(used["log_lines_dropped"].as_u64().unwrap() > 0, "{used}");
}
