//! Tests of the limits of uploads and of stored versions.

use serde_json::json;
use test_artifacts::ECHO;

use super::{around, bytes};
use crate::app::{App, Reply, bundled, open_manifest};

/// A version of the guest `echo`. Versions differ by a comment in the manifest, so that each is
/// compiled and all have the same size.
fn version(number: usize) -> Vec<u8> {
    bundled(ECHO, &open_manifest("echo", &format!("# {number}\n")), &[])
}

#[tokio::test]
pub async fn component_size() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let needed = version(0).len() as u64;
    for (number, (limit, fits)) in around(needed).into_iter().enumerate() {
        acme.limit(&json!({ "component_size": bytes(limit) })).await;
        let reply = acme.upload("echo", version(number)).await;
        if fits {
            assert_eq!(reply.expect(201).json()["size"], needed);
        } else {
            reply.expect_problem(413, "body-too-large");
        }
    }
}

#[tokio::test]
pub async fn compiled_size() {
    let app = App::start().await;
    let first = app.tenant("first").await;
    let size = |reply: &Reply| reply.json()["compiled_size"].as_u64().unwrap();
    let needed = size(&first.upload("echo", version(9)).await.expect(201));
    assert!(needed > 64 << 10, "{needed}");
    let acme = app.tenant("acme").await;
    for (number, (limit, fits)) in around(needed).into_iter().enumerate() {
        acme.limit(&json!({ "compiled_size": bytes(limit) })).await;
        let reply = acme.upload("echo", version(number)).await;
        if fits {
            assert_eq!(size(&reply.expect(201)), needed);
        } else {
            reply.expect_problem(422, "compile-limit");
            // Code that another tenant has compiled does not circumvent the limit.
            let known = acme.upload("echo", version(9)).await;
            known.expect_problem(422, "compile-limit");
        }
    }
}

#[tokio::test]
pub async fn versions_kept() {
    let app = App::start().await;
    for (limit, fits) in around(3) {
        let tenant = app.tenant(&format!("of-{limit}")).await;
        tenant.limit(&json!({ "versions_kept": limit })).await;
        let mut uploaded = Vec::new();
        for number in 0..3 {
            app.advance(std::time::Duration::from_millis(1));
            let reply = tenant.upload("echo", version(number)).await.expect(201);
            uploaded.insert(0, reply.json()["version"].clone());
        }
        uploaded.truncate(if fits { 3 } else { 2 });
        let plugin = app
            .admin("GET", &tenant.path("/plugins/echo"))
            .send()
            .await
            .expect(200);
        assert_eq!(plugin.json()["versions"], uploaded.len());
        let path = tenant.path("/plugins/echo/versions");
        let page = app.admin("GET", &path).send().await.expect(200).json();
        let kept = page["items"].as_array().unwrap().iter();
        let kept: Vec<_> = kept.map(|item| item["version"].clone()).collect();
        assert_eq!(kept, uploaded);
    }
}
