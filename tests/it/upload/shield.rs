//! Tests of the advisory shield, with which the operator blocks components at run time.

use mortise::components::shield::Shield;
use mortise::config::Config;

use super::wasm::{plugin, with_manifest};
use crate::app::{App, open_manifest};

fn shielded(rule: &str) -> impl FnOnce(&mut Config) + use<> {
    let shield: Shield = rule.parse().unwrap();
    move |config| config.shield = shield
}

fn named(name: &str, definitions: &str, code: &str) -> Vec<u8> {
    with_manifest(&plugin(definitions, code), &open_manifest(name, ""))
}

#[tokio::test]
async fn uploads_that_use_what_is_refused_are_refused_with_the_rule() {
    for rule in [
        "instruction:memory.fill",
        "instruction:memory.*",
        "proposal:bulk-memory",
        "import:mortise:plugin/*",
        "import:mortise:plugin/types",
    ] {
        let app = App::configured(shielded(rule)).await;
        let acme = app.tenant("acme").await;
        let uses = named(
            "p",
            "",
            "(memory.fill (i32.const 64) (i32.const 0) (i32.const 8))",
        );
        let problem = acme
            .upload("p", uses)
            .await
            .expect_problem(422, "invalid-component")
            .json();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(rule), "{detail}");
        if !rule.starts_with("import:") {
            acme.upload("p", named("p", "", "")).await.expect(201);
        }
    }
}

#[tokio::test]
async fn active_versions_that_use_what_is_refused_are_unavailable_and_listed() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let fill = named(
        "fill",
        "",
        "(memory.fill (i32.const 64) (i32.const 0) (i32.const 8))",
    );
    let fill = acme.deploy_bundled(fill).await;
    acme.deploy_bundled(named("plain", "", "")).await;
    let audit = app
        .admin("GET", "/components/audit")
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 0, "{audit}");
    let asked = "/components/audit?uses=instruction:memory.fill";
    let audit = app.admin("GET", asked).send().await.expect(200).json();
    assert_eq!(audit["items"].as_array().unwrap().len(), 1, "{audit}");
    // There is a page for each version, with one item or none.
    let (mut pages, mut items, mut cursor) = (0, 0, String::new());
    loop {
        let path = format!("{asked}&limit=1{cursor}");
        let page = app.admin("GET", &path).send().await.expect(200).json();
        (pages, items) = (pages + 1, items + page["items"].as_array().unwrap().len());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((pages, items), (2, 1));

    let app = app.restart_configured(shielded("instruction:memory.fill")).await;
    let reply = app.get("/acme/fill/x").send().await;
    reply.expect_problem(503, "plugin-suspended");
    app.get("/acme/plain/x").send().await.expect(200);
    let audit = app
        .admin("GET", "/components/audit")
        .send()
        .await
        .expect(200)
        .json();
    let items = audit["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{audit}");
    assert_eq!(
        (&items[0]["tenant"], &items[0]["plugin"]),
        (&"acme".into(), &"fill".into())
    );
    assert_eq!(
        (&items[0]["version"], &items[0]["active"]),
        (&fill.clone().into(), &true.into())
    );
    assert_eq!(items[0]["rules"][0], "instruction:memory.fill");
    let path = "/tenants/acme/plugins/fill/versions";
    let listed = app.admin("GET", path).send().await.expect(200).json();
    assert!(
        listed["items"][0]["unavailable"]
            .to_string()
            .contains("memory.fill"),
        "{listed}"
    );
    let path = "/tenants/acme/plugins/fill";
    let health = app.admin("GET", path).send().await.expect(200).json()["health"].clone();
    assert_eq!(health["state"], "unavailable");
    assert!(health["reason"].to_string().contains("memory.fill"), "{health}");
    let body = serde_json::json!({ "version": fill });
    let activated = app
        .admin("PUT", "/tenants/acme/plugins/fill/activation")
        .json(&body);
    activated.send().await.expect_problem(422, "invalid-component");

    let app = app.restart().await;
    app.get("/acme/fill/x").send().await.expect(200);
    let listed = app.admin("GET", path).send().await.expect(200).json();
    assert!(listed["items"][0]["unavailable"].is_null(), "{listed}");
}

#[tokio::test]
async fn a_rule_that_means_nothing_is_refused() {
    let app = App::start().await;
    for rule in ["memory.fill", "proposal:none", "instruction:none"] {
        let asked = format!("/components/audit?uses={rule}");
        app.admin("GET", &asked)
            .send()
            .await
            .expect_problem(400, "invalid-request");
    }
    let text = "[shield]\ninstructions = ['memory.fil']";
    let error = toml::from_str::<Config>(text).unwrap_err().to_string();
    assert!(
        error.contains("memory.fil") && error.contains("line 2"),
        "{error}"
    );
}
