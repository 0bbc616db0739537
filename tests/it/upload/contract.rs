//! Tests of the imports and exports of components, compared with the host's contract.

use super::refusal;
use super::wasm::{plugin, plugin_text, with_manifest};
use crate::app::{App, open_manifest};

const BARE: &str = "[plugin]\nname = 'p'\nversion = '1'\n";

#[tokio::test]
async fn every_import_that_nobody_offers_is_named_with_what_to_use_instead() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let component = r#"(component
        (import "wasi:http/types@0.2.10" (instance (export "fields" (type (sub resource)))))
        (import "wasi:keyvalue/store@0.2.0" (instance (export "open" (func))))
        (import "wasi:cli/environment@0.3.0" (instance (export "f" (func))))
        (import "mortise:plugin/teleport@0.1.0" (instance (export "go" (func))))
        (import "wasi:io/error@0.2.0" (instance (export "error" (type (sub resource)))))
        (import "plain" (func)))"#;
    let component = wat::parse_str(component).unwrap();
    let (detail, hint) = refusal(&acme, with_manifest(&component, BARE)).await;
    for unknown in [
        "wasi:http/types@0.2.10",
        "wasi:keyvalue/store@0.2.0",
        "wasi:cli/environment@0.3.0",
        "mortise:plugin/teleport@0.1.0",
        "`plain`",
    ] {
        assert!(detail.contains(unknown), "{unknown}: {detail}");
    }
    assert!(!detail.contains("wasi:io/error"), "{detail}");
    for instead in [
        "mortise:plugin/http-client",
        "mortise:plugin/cache",
        "WASI 0.2",
        "SDK",
    ] {
        assert!(hint.contains(instead), "{instead}: {hint}");
    }
    assert!(!hint.contains("mortise build"), "{hint}");
}

#[tokio::test]
async fn versions_of_one_track_stand_for_each_other() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (import, offered) in [
        ("wasi:io/error@0.2.0", true),
        ("wasi:io/error@0.2.99", true),
        ("wasi:io/error@0.3.0", false),
        ("wasi:io/error@1.0.0", false),
        ("wasi:io/error", false),
        ("wasi:io/errors@0.2.0", false),
    ] {
        let text =
            format!(r#"(component (import "{import}" (instance (export "error" (type (sub resource))))))"#);
        let component = with_manifest(&wat::parse_str(text).unwrap(), BARE);
        let reply = acme.upload("p", component).await;
        assert_eq!(reply.status.is_success(), offered, "{import}: {}", reply.text());
    }
}

#[tokio::test]
async fn an_offered_interface_with_another_function_is_named() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let text = r#"(component (import "mortise:plugin/log@0.1.0" (instance (export "shout" (func)))))"#;
    let (detail, _) = refusal(&acme, with_manifest(&wat::parse_str(text).unwrap(), BARE)).await;
    assert!(
        detail.contains("mortise:plugin/log@0.1.0") && detail.contains("shout"),
        "{detail}"
    );
}

#[tokio::test]
async fn a_handler_with_other_types_is_refused_at_upload() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let text = plugin_text("", "");
    acme.upload("p", with_manifest(&plugin("", ""), &open_manifest("p", "")))
        .await
        .expect(201);
    for (from, to) in [
        (
            r#"(field "status" u16)"#,
            r#"(field "status" u16) (field "trailers" u16)"#,
        ),
        (r#"(field "status" u16)"#, r#"(field "status" u32)"#),
        (r#"(field "status" u16)"#, r#"(field "code" u16)"#),
        (
            r#"(field "query" (option string))"#,
            r#"(field "query" (option (list u8)))"#,
        ),
        (r#"(case "empty")"#, r#"(case "empty") (case "file" string)"#),
    ] {
        assert!(text.contains(from), "{from}");
        let component = wat::parse_str(text.replace(from, to)).unwrap();
        let (detail, _) = refusal(&acme, with_manifest(&component, &open_manifest("p", ""))).await;
        assert!(
            detail.contains("mortise:plugin/http-handler@0.1.0"),
            "{to}: {detail}"
        );
    }
}

#[tokio::test]
async fn a_handler_of_another_version_of_the_contract_is_named() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let text = plugin_text("", "").replace("http-handler@0.1.0", "http-handler@0.7.0");
    let component = wat::parse_str(text).unwrap();
    let (detail, _) = refusal(&acme, with_manifest(&component, &open_manifest("p", ""))).await;
    assert!(
        detail.contains("`mortise:plugin/http-handler@0.7.0`, but this host serves"),
        "{detail}"
    );
}
