//! Tests of the manifest in a component, and of the position of each error in it.

use serde_json::json;
use test_artifacts::{ECHO, HELLO};

use super::wasm::{COMPONENT, plugin, with_content, with_manifest};
use crate::app::{App, Reply, bundled};

const PLUGIN: &str = "[plugin]\nname = 'p'\nversion = '1'\n";

#[track_caller]
fn is_refused(reply: &Reply, reason: &str) {
    assert_eq!(
        reply.problem(),
        (422, "invalid-manifest".to_owned()),
        "{}",
        reply.text()
    );
    let body = reply.json();
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains(reason), "{detail}");
}

#[tokio::test]
async fn a_component_without_a_manifest_is_told_how_to_get_one() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    is_refused(&acme.upload("p", COMPONENT.to_vec()).await, "mortise build");
}

#[tokio::test]
async fn each_mistake_is_named_with_its_place() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let route =
        |lines: &str| format!("{PLUGIN}[[route]]\nmethod = 'GET'\npath = '/'\nauth = 'public'\n{lines}");
    for (manifest, reason) in [
        (String::new(), "missing field `plugin`"),
        ("[plugin".to_owned(), "line 1"),
        ("[plugin]\nname = 'p'\n".to_owned(), "missing field `version`"),
        (format!("{PLUGIN}colour = 'red'\n"), "unknown field `colour`"),
        (format!("{PLUGIN}[routes]\n"), "unknown field `routes`"),
        (
            format!("{PLUGIN}[limits]\nmemroy = '1MiB'\n"),
            "unknown field `memroy`",
        ),
        (format!("{PLUGIN}[limits]\nmemory = 'much'\n"), "line 5"),
        ("[plugin]\nname = 'P p'\nversion = '1'\n".to_owned(), "line 2"),
        (
            "[plugin]\nname = 'p'\nversion = ''\n".to_owned(),
            "plugin.version",
        ),
        (route("colour = 'red'\n"), "unknown field `colour`"),
        (route("").replace("GET", "get"), "route[0].method: `get`"),
        (route("").replace("'/'", "'x'"), "route[0].path"),
        (route("").replace("'/'", "'/{a}{b}'"), "route[0].path"),
        (route("").replace("'public'", "[]"), "route[0].auth"),
        (
            route("").replace("'public'", "'everybody'"),
            "auth is \"public\" or a list",
        ),
        (route("scopes = ['a']\n"), "route[0].scopes"),
        (route("rate = '5/week'\n"), "`5/week` is not a rate"),
        (
            format!("{0}{1}", route(""), &route("")[PLUGIN.len()..]),
            "route[1].path: GET / is defined twice",
        ),
        (format!("{PLUGIN}[http]\nallow = ['example.com']\n"), "line 5"),
        (
            format!("{PLUGIN}[http]\nallow = ['https://example.com/path']\n"),
            "line 5",
        ),
    ] {
        let reply = acme.upload("p", with_manifest(COMPONENT, &manifest)).await;
        is_refused(&reply, reason);
        is_refused(&reply, "plugin.toml");
    }
}

#[tokio::test]
async fn a_plugin_that_handles_other_routes_than_its_manifest_has_is_refused() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest = |routes: &[(&str, &str)]| {
        let route = |(method, path): &(&str, &str)| {
            format!("[[route]]\nmethod = '{method}'\npath = '{path}'\nauth = 'public'\n")
        };
        format!("{PLUGIN}{}", routes.iter().map(route).collect::<String>())
    };
    let (hello, echo) = (("GET", "/hello/{name}"), ("POST", "/echo"));
    for (routes, reason) in [
        (
            vec![hello],
            "the plugin handles POST /echo, which the manifest leaves out",
        ),
        (
            vec![hello, echo, ("GET", "/other")],
            "the plugin has no handler for GET /other",
        ),
        (
            vec![hello, ("PUT", "/echo")],
            "the plugin has no handler for PUT /echo; it handles POST /echo, which the manifest leaves out",
        ),
    ] {
        let component = bundled(HELLO, &manifest(&routes), &[]);
        is_refused(&acme.upload("p", component).await, reason);
    }
    let component = bundled(HELLO, &manifest(&[echo, hello]), &[]);
    acme.deploy_bundled(component).await;
    app.get("/acme/p/hello/Ada").send().await.expect(200);
    // A guest in another language does not list its routes.
    acme.upload("p", bundled(ECHO, &manifest(&[("GET", "/any")]), &[]))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_manifest_that_can_never_do_what_it_says_is_refused() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    for (lines, reason) in [
        (
            "[limits]\nmemory = '0B'\n",
            "limits.memory: no instance fits into 0B",
        ),
        ("[limits]\nwall = '0ms'\n", "limits.wall: 0 is not possible here"),
        (
            "[secrets]\nuse = ['no such']\n",
            "secrets.use: no secret can be named `no such`",
        ),
    ] {
        let reply = acme
            .upload("p", with_manifest(COMPONENT, &format!("{PLUGIN}{lines}")))
            .await;
        is_refused(&reply, reason);
        assert!(reply.json()["hint"].as_str().unwrap().contains("plugin.toml"));
    }
}

#[tokio::test]
async fn the_name_is_that_of_the_upload() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let reply = acme.upload("q", with_manifest(COMPONENT, PLUGIN)).await;
    is_refused(&reply, "plugin.name is `p`, but the upload is for `q`");
    let reply = acme.upload("Q!", with_manifest(COMPONENT, PLUGIN)).await;
    assert!(reply.status.is_client_error(), "{}", reply.text());
}

#[tokio::test]
async fn the_section_has_a_form_and_a_size() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let migration = json!({ "file": "0001_a.sql", "sql": "" });
    for (content, reason) in [
        (String::new(), "mortise:plugin"),
        ("{".to_owned(), "mortise:plugin"),
        (json!({ "format": 2, "manifest": PLUGIN }).to_string(), "format"),
        (
            json!({ "format": 1, "manifest": PLUGIN, "more": 1 }).to_string(),
            "unknown field `more`",
        ),
        (
            json!({ "format": 1, "manifest": PLUGIN, "migrations": [migration] }).to_string(),
            "migrations",
        ),
        (
            json!({ "format": 1, "manifest": PLUGIN, "schemas": { "a": {} } }).to_string(),
            "a",
        ),
        (" ".repeat((4 << 20) + 1), "4"),
    ] {
        let reply = acme.upload("p", with_content(COMPONENT, &content)).await;
        is_refused(&reply, reason);
    }
}

#[tokio::test]
async fn a_schema_is_checked_before_it_is_used() {
    let app = App::start().await;
    let acme = app.tenant("acme").await;
    let manifest =
        format!("{PLUGIN}[[route]]\nmethod = 'POST'\npath = '/'\nauth = 'public'\nrequest = 's.json'\n");
    let absent = with_manifest(COMPONENT, &manifest);
    is_refused(
        &acme.upload("p", absent).await,
        "s.json: the manifest names this schema, but it is not in the component",
    );
    for schema in [
        json!({ "type": "nothing" }),
        json!({ "$ref": "https://example.com/schema.json" }),
        json!({ "$ref": "file:///etc/passwd" }),
        json!({ "pattern": "(" }),
    ] {
        let content = json!({ "format": 1, "manifest": manifest, "schemas": { "s.json": schema } });
        let reply = acme
            .upload("p", with_content(&plugin("", ""), &content.to_string()))
            .await;
        is_refused(&reply, "s.json");
    }
}
