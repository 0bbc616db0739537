//! Tests of routing to plugins, and of the request that they get.

use serde_json::json;
use test_artifacts::ECHO;

use crate::app::App;

const MANIFEST: &str = "
[plugin]
name = 'echo'
version = '1.0.0'

[[route]]
method = 'POST'
path = '/orders/{id}/lines/{line}'
auth = 'public'
";

#[tokio::test]
async fn a_request_reaches_the_plugin_as_it_was_sent() {
    let app = App::start().await;
    app.tenant("acme").await.deploy(ECHO, MANIFEST, &[]).await;
    let reply = app
        .post("/acme/echo/orders/a%20b/lines/%C3%A4?x=1&y=%20")
        .header("x-own", "kept")
        .json(&json!({ "quantity": 1 }))
        .send()
        .await
        .expect(200)
        .json();
    assert_eq!(reply["method"], "POST");
    assert_eq!(reply["route"], "/orders/{id}/lines/{line}");
    assert_eq!(reply["path"], "/orders/a%20b/lines/%C3%A4");
    assert_eq!(reply["query"], "x=1&y=%20");
    assert_eq!(reply["params"], json!([["id", "a b"], ["line", "ä"]]));
    assert_eq!(
        reply["headers"],
        json!([["x-own", "kept"], ["content-type", "application/json"]])
    );
    assert_eq!(reply["body"], json!({ "text": "{\"quantity\":1}" }));
}
