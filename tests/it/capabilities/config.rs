//! Tests of the config capability.

use serde_json::{Value, json};
use test_artifacts::CAPABILITIES;

use super::{call, deploy};
use crate::app::{App, open_manifest};

#[tokio::test]
async fn settings_are_the_plugins_own_and_take_effect_at_once() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    acme.deploy(CAPABILITIES, &open_manifest("others", ""), &[]).await;
    let key = json!({ "key": "greeting" });
    let greeting = async || call(&app, "/config", &key).await.json();
    assert_eq!(greeting().await, Value::Null);

    acme.configure("caps", &json!({ "greeting": "hello", "empty": "" }))
        .await;
    assert_eq!(greeting().await, "hello");
    assert_eq!(call(&app, "/config", &json!({ "key": "empty" })).await.json(), "");
    assert_eq!(
        call(&app, "/config", &json!({ "key": "Greeting" })).await.json(),
        Value::Null
    );
    let others = app
        .post("/acme/others/config")
        .json(&key)
        .send()
        .await
        .expect(200);
    assert_eq!(others.json(), Value::Null);

    acme.configure("caps", &json!({ "greeting": "bye" })).await;
    assert_eq!(greeting().await, "bye");
    acme.configure("caps", &json!({})).await;
    assert_eq!(greeting().await, Value::Null);
}
