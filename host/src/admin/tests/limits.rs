//! Tests of effective limits and of refused ones.

use axum::http::StatusCode;
use serde_json::json;

use super::TestApp;
use crate::domain::limits::{LimitOverrides, Limits};
use crate::domain::tenant::Plan;
use crate::domain::token::{Reach, TenantRole};
use crate::domain::units::ByteSize;
use crate::storage::conformance::{change, name, tenant, version_of};

#[tokio::test]
async fn a_viewer_sees_which_limits_hold_and_why() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    app.call(
        &operator,
        "PUT",
        "/api/v1/plans/gold",
        Some(json!({ "cpu": "80ms", "queue": 9 })),
    )
    .await;
    let new = json!({ "name": "acme", "plan": "gold", "limits": { "queue": 7 } });
    app.call(&operator, "POST", "/api/v1/tenants", Some(new)).await;
    let acme = app.db.tenant_by_name(&name("acme")).await.unwrap().unwrap();
    let viewer = app.token(Reach::Tenant(acme.id, TenantRole::Viewer)).await;

    let shown = app.get(&viewer, "/api/v1/tenants/acme/limits").await;
    assert_eq!(shown.status, StatusCode::OK);
    assert_eq!(
        shown.body["plan"],
        json!({ "name": "gold", "limits": { "cpu": "80ms", "queue": 9 } })
    );
    assert_eq!(shown.body["overrides"], json!({ "queue": 7 }));
    let limits = &shown.body["limits"];
    assert_eq!(limits.as_object().unwrap().len(), Limits::ALL.len());
    assert_eq!(
        limits["cpu"],
        json!({ "value": "80ms", "source": "plan", "ceiling": "1s", "floor": "1ms", "bounds": "invocation" })
    );
    assert_eq!(
        limits["queue"],
        json!({ "value": 7, "source": "tenant", "ceiling": 10_000, "floor": 0, "bounds": "tenant" })
    );
    assert_eq!(limits["memory"]["source"], "default");
    let foreign = tenant(&*app.db, "other").await;
    let stranger = app.owner(foreign.id).await;
    let answer = app.get(&stranger, "/api/v1/tenants/acme/limits").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_manifest_is_seen_to_lower_and_not_to_raise() {
    let app = TestApp::start().await;
    let acme = tenant(&*app.db, "acme").await;
    let viewer = app.token(Reach::Tenant(acme.id, TenantRole::Viewer)).await;
    let version = |text: &str, limits: &str, at| {
        let mut version = version_of("orders", text, at);
        version.manifest_text += limits;
        let manifest = crate::domain::manifest::Manifest::parse(&version.manifest_text).unwrap();
        version.manifest = manifest.into();
        version
    };
    let low = version("1.0.0", "[limits]\nmemory = '16MiB'\nhandles = 1000\n", 1);
    let high = version("2.0.0", "[limits]\nmemory = '200MiB'\n", 2);
    for version in [&low, &high] {
        app.db
            .add_version(acme.id, &name("orders"), version, &change(2_000))
            .await
            .unwrap();
    }
    let path = "/api/v1/tenants/acme/plugins/orders/limits";
    let newest = app.get(&viewer, path).await.body;
    assert_eq!(newest["version"], high.digest.to_string());
    assert_eq!(newest["limits"]["memory"]["value"], "64MiB");
    assert_eq!(
        newest["limits"]["memory"]["note"],
        "the manifest asks for 200MiB; a manifest only lowers limits, so 64MiB applies"
    );
    let lower = app
        .get(&viewer, &format!("{path}?version={}", low.digest))
        .await
        .body;
    assert_eq!(lower["limits"]["memory"]["value"], "16MiB");
    assert_eq!(lower["limits"]["memory"]["source"], "manifest");
    assert_eq!(lower["limits"]["handles"]["source"], "default");
    let digits = &low.digest.to_hex()[..12];
    for name in ["1.0.0", digits, &format!("sha256:{digits}")] {
        let named = app.get(&viewer, &format!("{path}?version={name}")).await;
        assert_eq!(named.body["version"], low.digest.to_string(), "{name}");
    }
    assert!(lower.get("functions").is_none(), "{lower}");
    let function = "[[function]]\nname = 'price.get'\nauth = ['api-key']\ninput = 'in.json'\noutput = 'out.json'\n\
                    limits = { cpu = '5ms', memory = '200MiB' }\n";
    let with_function = version("4.0.0", function, 4);
    app.db
        .add_version(acme.id, &name("orders"), &with_function, &change(4_000))
        .await
        .unwrap();
    let shown = app.get(&viewer, &format!("{path}?version=4.0.0")).await.body;
    assert_eq!(shown["limits"]["cpu"]["source"], "default");
    let lowered = &shown["functions"]["price.get"];
    assert_eq!(
        (&lowered["cpu"]["value"], &lowered["cpu"]["source"]),
        (&json!("5ms"), &json!("manifest"))
    );
    assert_eq!(lowered.as_object().unwrap().len(), 1, "{lowered}");
    let absent = app.get(&viewer, &format!("{path}?version=3.0.0")).await.problem();
    assert!(
        absent.starts_with("404 not-found: no version is named `3.0.0`; the newest are sha256:"),
        "{absent}"
    );
}

#[tokio::test]
async fn limits_that_cannot_hold_are_refused_when_they_are_set() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    tenant(&*app.db, "acme").await;
    let mut answers = Vec::new();
    for (method, path, body) in [
        ("PUT", "/api/v1/plans/gold", json!({ "memory": "10GiB" })),
        ("PUT", "/api/v1/plans/gold", json!({ "limits": { "cpu": "1h" } })),
        ("PUT", "/api/v1/plans/gold", json!({ "memory": "0" })),
        (
            "PATCH",
            "/api/v1/tenants/acme",
            json!({ "limits": { "concurrency": 0 } }),
        ),
        (
            "POST",
            "/api/v1/tenants",
            json!({ "name": "zoo", "limits": { "wall": "2min" } }),
        ),
    ] {
        answers.push(app.call(&operator, method, path, Some(body)).await.problem());
    }
    insta::assert_snapshot!(answers.join("\n"), @"
    400 invalid-request: limits.memory: 10GiB is above the ceiling of 256MiB; the operator raises that in the host's configuration (`[ceiling]`)
    400 invalid-request: limits.cpu: 1h is above the ceiling of 1s; the operator raises that in the host's configuration (`[ceiling]`)
    400 invalid-request: limits.memory: 0B is below 64KiB, and with less no plugin can run
    400 invalid-request: limits.concurrency: 0 is below 1, and with less no plugin can run
    400 invalid-request: limits.wall: 2min is above the ceiling of 1min; the operator raises that in the host's configuration (`[ceiling]`)
    ");
    assert_eq!(app.get(&operator, "/api/v1/plans/gold").await.status, 404);
}

#[tokio::test]
async fn limits_that_an_earlier_host_stored_hold_as_far_as_they_can_and_are_marked() {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let limits = LimitOverrides {
        memory: Some(ByteSize::mib(1 << 14)),
        concurrency: Some(0),
        ..LimitOverrides::default()
    };
    let plan = Plan {
        name: name("standard"),
        limits,
    };
    app.db.put_plan(&plan, &|_| change(1)).await.unwrap();
    tenant(&*app.db, "acme").await;
    let shown = app.get(&operator, "/api/v1/tenants/acme/limits").await.body;
    assert_eq!(shown["limits"]["memory"]["value"], "256MiB");
    assert_eq!(
        shown["limits"]["memory"]["note"],
        "the plan says 16GiB, but the ceiling is 256MiB"
    );
    assert_eq!(
        shown["limits"]["concurrency"]["note"],
        "0 is below 1, and with less no plugin can run"
    );
}
