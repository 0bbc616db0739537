//! Tests of WebAssembly proposals: components with an enabled one are served, the others are
//! rejected by name, including versions of an earlier host.

use std::path::Path;

use mortise::components::bundle::Bundle;
use mortise::domain::audit::Change;
use mortise::domain::clock::Timestamp;
use mortise::domain::id::VersionDigest;
use mortise::domain::plugin::Version;
use mortise::storage::Repository as _;
use mortise::storage::sqlite::SqliteRepository;
use mortise::storage::{Plugins as _, Tenants as _};

use super::refusal;
use super::wasm::{plugin, with_manifest};
use crate::app::{App, open_manifest};

/// Two function types, one of which is the other's subtype. A call through the supertype once ended
/// the process.
const FUNCTION_TYPES: &str = include_str!("function-types.wat");

#[tokio::test]
async fn each_proposal_that_is_on_serves() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (name, definitions, code) in [
        ("floats", "", "(drop (f32.add (f32.const 1) (f32.const 1)))"),
        (
            "mutable-global",
            r#"(global (export "g") (mut i32) (i32.const 0))"#,
            "",
        ),
        (
            "saturating-float-to-int",
            "",
            "(drop (i32.trunc_sat_f32_s (f32.const 1)))",
        ),
        ("sign-extension", "", "(drop (i32.extend8_s (i32.const 255)))"),
        (
            "multi-value",
            "(func $two (result i32 i32) i32.const 1 i32.const 2)",
            "call $two drop drop",
        ),
        (
            "reference-types",
            "(table $t 1 funcref)",
            "(drop (table.size $t))",
        ),
        (
            "bulk-memory",
            "",
            "(memory.fill (i32.const 64) (i32.const 0) (i32.const 8))",
        ),
        (
            "simd",
            "",
            "(drop (i32x4.extract_lane 0 (v128.const i32x4 1 2 3 4)))",
        ),
        (
            "extended-const",
            "(global i32 (i32.add (i32.const 1) (i32.const 2)))",
            "",
        ),
    ] {
        let component = with_manifest(&plugin(definitions, code), &open_manifest(name, ""));
        acme.deploy_bundled(component).await;
        app.get(&format!("/acme/{name}/x")).send().await.expect(200);
    }
}

#[tokio::test]
async fn each_proposal_that_is_off_is_refused_by_name() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let function_types = wat::parse_str(FUNCTION_TYPES).unwrap();
    let calls = |definitions: &str, code: &str| plugin(definitions, code);
    for (name, component) in [
        ("gc", function_types),
        (
            "function-references",
            calls("(type $f (func))", "(drop (ref.is_null (ref.null $f)))"),
        ),
        (
            "tail-call",
            calls("(func $f (result i32) (i32.const 0))", "(return_call $f)"),
        ),
        ("threads", calls("", "(drop (i32.atomic.load (i32.const 0)))")),
        ("exceptions", calls("(tag $e)", "(throw $e)")),
        ("memory64", calls("(memory $m i64 1)", "")),
        ("custom-page-sizes", calls("(memory $m 1 (pagesize 1))", "")),
        (
            "stack-switching",
            calls("(type $f (func)) (type $c (cont $f))", ""),
        ),
        (
            "wide-arithmetic",
            calls("", "(i64.mul_wide_s (i64.const 1) (i64.const 1)) drop drop"),
        ),
        (
            "relaxed-simd",
            calls(
                "",
                "(drop (i8x16.relaxed_swizzle (v128.const i64x2 1 2) (v128.const i64x2 1 2)))",
            ),
        ),
        (
            "cm-async",
            wat::parse_str("(component (type (future u8)))").unwrap(),
        ),
    ] {
        let (detail, hint) = refusal(&acme, with_manifest(&component, &open_manifest("p", ""))).await;
        assert!(
            detail.contains(name) && detail.contains("does not run"),
            "{name}: {detail}"
        );
        assert!(hint.contains(name), "{name}: {hint}");
    }
}

/// Two components with a memory each. One calls the other with a string, so the adapter between
/// them is a module with two memories.
const COMPOSED: &str = r#"(component
  (component $inner
    (core module $m (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
      (func (export "f") (param i32 i32)))
    (core instance $i (instantiate $m))
    (func (export "f") (param "s" string)
      (canon lift (core func $i "f") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $outer
    (import "f" (func $f (param "s" string)))
    (core module $libc (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
    (core instance $libc (instantiate $libc))
    (core func $f (canon lower (func $f) (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core module $m (import "" "f" (func $f (param i32 i32)))
      (func (export "go") (call $f (i32.const 0) (i32.const 4))))
    (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
    (func (export "go") (canon lift (core func $i "go"))))
  (instance $inner (instantiate $inner))
  (instance $outer (instantiate $outer (with "f" (func $inner "f"))))
  (func (export "go") (alias export $outer "go")))"#;

#[tokio::test]
async fn composed_components_load_and_modules_with_two_memories_do_not() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let bare = "[plugin]\nname = 'p'\nversion = '1'\n";
    let composed = wat::parse_str(COMPOSED).unwrap();
    acme.upload("p", with_manifest(&composed, bare)).await.expect(201);

    let two = plugin("(memory $second 1)", "");
    let (detail, _) = refusal(&acme, with_manifest(&two, &open_manifest("p", ""))).await;
    assert!(detail.contains("memories"), "{detail}");
    assert_eq!(app.gauges().await["compile_workers"], 0);
}

/// Puts a component into the data folder of a stopped host, as an earlier host left it: active, and
/// compiled for another engine.
async fn leave_behind(data: &Path, tenant: &str, component: &[u8]) {
    let digest = VersionDigest::of(component);
    let bundle = Bundle::extract(component).unwrap();
    let file = data
        .join("components")
        .join(digest.to_hex())
        .with_extension("wasm");
    std::fs::write(file, component).unwrap();
    let db = SqliteRepository::open(data).await.unwrap();
    let tenant = db
        .tenant_by_name(&tenant.parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let version = Version {
        digest,
        manifest: std::sync::Arc::new(bundle.manifest.clone()),
        manifest_text: bundle.manifest_text,
        size: component.len() as u64,
        created_at: Timestamp(1),
    };
    let name = &bundle.manifest.plugin.name;
    let change = Change::new(Change::HOST, "test", "x", Timestamp(2));
    db.add_version(tenant.id, name, &version, &change).await.unwrap();
    db.activate(tenant.id, name, digest, None, &change).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_stored_version_with_a_proposal_that_is_off_does_not_run_and_is_marked() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let fine = with_manifest(&plugin("", ""), &open_manifest("fine", ""));
    acme.deploy_bundled(fine).await;
    let old = with_manifest(
        &wat::parse_str(FUNCTION_TYPES).unwrap(),
        &open_manifest("old", ""),
    );
    let digest = VersionDigest::of(&old).to_string();
    let app = app
        .restart_after(async |data| leave_behind(data, "acme", &old).await, |_| {})
        .await;

    for _ in 0..2 {
        let reply = app.get("/acme/old/x").send().await;
        reply.expect_problem(503, "plugin-suspended");
    }
    app.get("/acme/fine/x").send().await.expect(200);
    let path = "/tenants/acme/plugins/old/versions";
    let listed = app.admin("GET", path).send().await.expect(200).json();
    let reason = listed["items"][0]["unavailable"].as_str().unwrap();
    assert!(reason.contains("gc"), "{reason}");
    let audit = app
        .admin("GET", "/components/audit")
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(audit["items"][0]["version"], digest);
    assert!(
        audit["items"][0]["rules"].to_string().contains("proposal:gc"),
        "{audit}"
    );
    assert_eq!(audit["items"].as_array().unwrap().len(), 1);
}
