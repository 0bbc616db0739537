//! Tests of the origins that requests may reach.

use serde_json::json;

use super::server::Server;
use super::{app, deploy, get, is_error, send};
use crate::app::App;

#[tokio::test]
async fn only_granted_origins_are_reached() {
    let app = app().await;
    let (granted, other) = (Server::start().await, Server::start().await);
    let acme = deploy(&app, &[&granted.origin], "").await;
    assert_eq!(get(&app, &granted.url("/a?b=1")).await["status"], 200);
    assert_eq!(granted.seen()[0].uri, "/a?b=1");

    for url in [
        other.url("/"),
        granted.origin.replace("http:", "https:"),
        granted.origin.replace("127.0.0.1", "localhost"),
        granted.origin.replace("http://", "http://user@"),
        "file:///etc/passwd".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "nonsense".to_owned(),
    ] {
        let error = get(&app, &url).await["error"].as_str().unwrap().to_owned();
        assert!(
            error.contains("Denied") || error.contains("InvalidRequest"),
            "{url}: {error}"
        );
    }
    is_error(&get(&app, &other.url("/")).await, "Denied", &other.origin);

    acme.grant("client", &json!({ "http": [] })).await;
    is_error(&get(&app, &granted.url("/")).await, "Denied", "not granted");
    assert_eq!((granted.seen().len(), other.seen().len()), (1, 0));
}

#[tokio::test]
async fn the_loopback_is_closed_unless_the_operator_opens_it() {
    let app = App::start().await;
    let server = Server::start().await;
    deploy(&app, &[&server.origin, "http://10.0.0.1"], "").await;
    // The message tells which settings exist.
    is_error(
        &get(&app, &server.url("/")).await,
        "Denied",
        "set `allow_loopback = true` under `[http_client]`",
    );
    assert!(server.seen().is_empty());
    is_error(
        &get(&app, "http://10.0.0.1/").await,
        "Denied",
        "no setting of the host changes that",
    );
}

#[tokio::test]
async fn private_addresses_stay_closed_to_everybody() {
    let app = app().await;
    let origins = ["http://10.0.0.1", "http://169.254.169.254", "http://[fd00::1]"];
    deploy(&app, &origins, "").await;
    for origin in origins {
        is_error(&get(&app, origin).await, "Denied", "");
    }
}

#[tokio::test]
async fn redirects_are_shown_and_not_followed() {
    let app = app().await;
    let server = Server::start().await;
    deploy(&app, &[&server.origin], "").await;
    let answer = get(&app, &server.url("/redirect")).await;
    assert_eq!(answer["status"], 302);
    assert!(answer["headers"].to_string().contains("/elsewhere"), "{answer}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn plugins_that_call_each_other_come_to_an_end() {
    let app = app().await;
    let server = Server::start().await;
    deploy(&app, &[&server.origin], "").await;
    get(&app, &server.url("/")).await;
    assert_eq!(server.seen()[0].headers["x-mortise-depth"], "1");

    for (depth, refused) in [("3", false), ("4", true), ("4000000000", true)] {
        let call = app.post("/acme/client/send").header("x-mortise-depth", depth);
        let call = call.json(&json!({ "url": server.url("/") }));
        let answer = call.send().await.expect(200).json();
        assert_eq!(answer["error"].is_string(), refused, "{depth}: {answer}");
    }
    assert_eq!(server.seen()[1].headers["x-mortise-depth"], "4");
    assert_eq!(server.seen().len(), 2);
    // The guest cannot reset it.
    let headers = json!({ "x-mortise-depth": "0" });
    let answer = send(&app, json!({ "url": server.url("/"), "headers": headers })).await;
    is_error(&answer, "InvalidRequest", "x-mortise-depth");
}
