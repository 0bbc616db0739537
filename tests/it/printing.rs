//! Tests of printed output: each line becomes a log line of its invocation.

use mortise::components::bundle::Bundle;
use test_artifacts::CONFORMANCE;

use crate::app::{App, Reply, TestTenant};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/conformance");

/// Deploys a plugin of the SDK, with reused instances or without.
async fn deploy(app: &App, reuse: bool) -> TestTenant<'_> {
    let acme = app.tenant("acme").await;
    let mut bundle = Bundle::from_folder(FOLDER.as_ref()).unwrap();
    let version = format!("reuse = {reuse}\nversion");
    bundle.manifest_text = bundle.manifest_text.replacen("version", &version, 1);
    let component = std::fs::read(CONFORMANCE).unwrap();
    acme.deploy_bundled(bundle.embed(&component).unwrap()).await;
    acme
}

async fn print(app: &App, how: &str) -> Reply {
    app.get(&format!("/acme/conformance/print/{how}")).send().await
}

/// The levels and messages of an invocation's log lines.
async fn lines(acme: &TestTenant<'_>, reply: &Reply) -> Vec<(String, String)> {
    let log = acme.log(reply).await;
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    log.iter()
        .map(|line| (text(&line["level"]), text(&line["message"])))
        .collect()
}

fn line(level: &str, message: &str) -> (String, String) {
    (level.to_owned(), message.to_owned())
}

#[tokio::test]
async fn a_line_without_a_line_feed_stands_under_its_own_invocation() {
    for reuse in [false, true] {
        let app = App::start().await;
        let acme = deploy(&app, reuse).await;
        let open = [line("info", "no line feed"), line("error", "nor here")];
        for (number, (how, printed)) in [("open", &open[..]), ("nothing", &[]), ("open", &open)]
            .into_iter()
            .enumerate()
        {
            let reply = print(&app, how).await.expect(200);
            assert_eq!(lines(&acme, &reply).await, printed, "{how}, reuse = {reuse}");
            let usage = acme.invocation(&reply).await["usage"].clone();
            let served_before = if reuse { number } else { 0 };
            assert_eq!(usage["instance_reuses"], served_before);
        }
    }
}

#[tokio::test]
async fn a_line_ends_with_its_line_feed_and_with_no_write() {
    let app = App::start().await;
    let acme = deploy(&app, false).await;
    let reply = print(&app, "lines").await.expect(200);
    assert_eq!(
        lines(&acme, &reply).await,
        [
            line("info", "one"),
            line("info", "  two"),
            line("error", "pieces of 1 and 2")
        ]
    );
}

#[tokio::test]
async fn a_panic_reads_as_it_was_written() {
    let app = App::start().await;
    let acme = deploy(&app, false).await;
    let reply = print(&app, "panic").await.expect_problem(502, "plugin-trapped");
    let lines = lines(&acme, &reply).await;
    let (level, place) = &lines[0];
    assert_eq!(level, "error");
    assert!(
        place.starts_with("thread ") && place.contains("panicked at sdk/conformance/src/lib.rs:"),
        "{lines:#?}"
    );
    assert_eq!(
        lines[1..4],
        [
            line("error", "no stock of 7"),
            line("error", "  at all"),
            line("info", "before")
        ]
    );
    assert!(
        lines
            .iter()
            .all(|(_, message)| !message.contains("RUST_BACKTRACE")),
        "{lines:#?}"
    );
}
