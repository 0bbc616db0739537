//! Tests of valid components and of other bytes.

use serde_json::json;
use test_artifacts::{ECHO, NO_HTTP_HANDLER, UNKNOWN_IMPORT};

use super::refusal;
use super::wasm::{COMPONENT, MODULE, number, section, with_manifest};
use crate::app::{App, bundled, open_manifest};

const BARE: &str = "[plugin]\nname = 'p'\nversion = '1'\n";

#[tokio::test]
async fn what_is_no_component_is_told_apart() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let whole = bundled(ECHO, &open_manifest("p", ""), &[]);
    for (bytes, reason) in [
        (b"".to_vec(), "does not start with the WebAssembly header"),
        (b"hello".to_vec(), "does not start with the WebAssembly header"),
        (b"(component)".to_vec(), "it is WebAssembly text"),
        (b"\x7fELF\x02\x01\x01".to_vec(), "it is compiled native code"),
        (MODULE.to_vec(), "it is a core module"),
        (with_manifest(MODULE, BARE), "it is a core module"),
        (whole[..whole.len() / 2].to_vec(), "malformed at byte 0x"),
        ([&whole, b"trailing".as_slice()].concat(), "malformed at byte 0x"),
    ] {
        let (detail, _) = refusal(&acme, bytes).await;
        assert!(detail.contains(reason), "{detail}");
    }
    let plugins = app.admin("GET", &acme.path("/plugins")).send().await.expect(200);
    assert_eq!(plugins.json()["items"], json!([]));
}

#[tokio::test]
async fn a_component_that_validates_only_at_first_sight_is_refused() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let mut bytes = std::fs::read(ECHO).unwrap();
    // The damage is in the code, which the check of the sections does not read.
    let middle = bytes.len() / 3;
    bytes[middle..middle + 64].fill(0xff);
    let reply = acme.upload("p", with_manifest(&bytes, BARE)).await;
    reply.expect_problem(422, "invalid-component");
}

#[tokio::test]
async fn a_memory_larger_than_any_plan_may_have_is_refused() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    // The sizes are in pages; the ceiling of the memory is 256 MiB.
    for (pages, fits) in [(4_095, true), (4_096, true), (4_097, false)] {
        let memory = section(5, &[vec![1, 0], number(pages)].concat());
        let module = [MODULE, &memory].concat();
        let component = [COMPONENT, &section(1, &module)].concat();
        let reply = acme.upload("p", with_manifest(&component, BARE)).await;
        if fits {
            reply.expect(201);
        } else {
            reply.expect_problem(422, "invalid-component");
        }
    }
}

#[tokio::test]
async fn only_components_are_taken() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let path = acme.path("/plugins/p/versions");
    let call = app.admin("POST", &path).header("content-type", "text/plain");
    let reply = call.body(with_manifest(COMPONENT, BARE)).send().await;
    reply.expect_problem(415, "unsupported-media-type");
}

#[tokio::test]
pub async fn an_import_that_nobody_offers_is_named() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let (detail, _) = refusal(&acme, bundled(UNKNOWN_IMPORT, BARE, &[])).await;
    assert!(detail.contains("test:absent/nowhere"), "{detail}");
}

#[tokio::test]
pub async fn routes_need_a_handler() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let (detail, _) = refusal(&acme, bundled(NO_HTTP_HANDLER, &open_manifest("p", ""), &[])).await;
    assert!(
        detail.contains("exports no `mortise:plugin/http-handler`"),
        "{detail}"
    );

    acme.deploy(NO_HTTP_HANDLER, BARE, &[]).await;
    app.get("/acme/p/").send().await.expect_problem(404, "not-found");
}

#[tokio::test]
async fn the_same_bytes_are_the_same_version() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let bytes = bundled(ECHO, &open_manifest("p", ""), &[]);
    let first = acme.upload("p", bytes.clone()).await.expect(201).json();
    let second = acme.upload("p", bytes.clone()).await.expect(200).json();
    assert_eq!(first, second);

    let next = acme
        .upload("p", bundled(ECHO, &open_manifest("p", "#"), &[]))
        .await;
    assert_ne!(next.expect(201).json()["version"], first["version"]);
    let other = app.tenant("other").await;
    let theirs = other.upload("p", bytes).await.expect(201).json();
    assert_eq!(theirs["version"], first["version"]);
}
