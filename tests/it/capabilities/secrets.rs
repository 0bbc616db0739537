//! Tests of the secrets capability: use by name, and reveal only with a grant.

use serde_json::{Value, json};

use super::{call, deploy};
use crate::app::App;

const SECTION: &str = "[secrets]\nuse = ['key', 'unset']\nreveal = ['open']\n";

async fn ask(app: &App, path: &str, name: &str) -> Value {
    let input = json!({ "name": name, "data": "what do ya want for nothing?" });
    call(app, path, &input).await.json()
}

/// Checks for this kind of error, which contains the requested name.
#[track_caller]
fn is_error(answer: &Value, kind: &str, name: &str) {
    assert_eq!(answer["error"], format!("Error::{kind}({name:?})"), "{answer}");
}

#[tokio::test]
async fn only_what_is_granted_to_be_revealed_is() {
    let app = App::start().await;
    let acme = deploy(&app, SECTION).await;
    acme.secret("open", "sesame").await;
    acme.secret("key", "hidden").await;
    acme.secret("foreign", "hidden").await;

    assert_eq!(
        ask(&app, "/secrets/reveal", "open").await,
        json!({ "ok": "sesame" })
    );
    for name in ["key", "foreign", "nowhere", ""] {
        let answer = ask(&app, "/secrets/reveal", name).await;
        is_error(&answer, "NotGranted", name);
        assert!(!answer.to_string().contains("hidden"));
    }
}

#[tokio::test]
async fn an_hmac_needs_the_use_alone() {
    let app = App::start().await;
    let acme = deploy(&app, SECTION).await;
    acme.secret("key", "Jefe").await;
    acme.secret("open", "Jefe").await;
    // Test case 2 of RFC 4231.
    let digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let bytes: Vec<u8> = (0..32)
        .map(|index| u8::from_str_radix(&digest[2 * index..2 * index + 2], 16).unwrap())
        .collect();
    for name in ["key", "open"] {
        assert_eq!(ask(&app, "/secrets/hmac", name).await, json!({ "ok": bytes }));
    }
    is_error(
        &ask(&app, "/secrets/hmac", "foreign").await,
        "NotGranted",
        "foreign",
    );
    is_error(&ask(&app, "/secrets/hmac", "unset").await, "NotFound", "unset");
}

#[tokio::test]
async fn a_grant_that_is_taken_back_no_longer_counts() {
    let app = App::start().await;
    let acme = deploy(&app, SECTION).await;
    acme.secret("open", "sesame").await;
    assert_eq!(
        ask(&app, "/secrets/reveal", "open").await,
        json!({ "ok": "sesame" })
    );
    acme.grant("caps", &json!({ "secrets": { "use": ["open", "key"] } }))
        .await;
    is_error(&ask(&app, "/secrets/reveal", "open").await, "NotGranted", "open");

    // A grant does not allow what the manifest does not request.
    acme.grant("caps", &json!({ "secrets": { "reveal": ["open", "key"] } }))
        .await;
    is_error(&ask(&app, "/secrets/reveal", "key").await, "NotGranted", "key");
    assert_eq!(
        ask(&app, "/secrets/reveal", "open").await,
        json!({ "ok": "sesame" })
    );
}

#[tokio::test]
async fn a_new_value_is_used_at_once_and_a_deleted_one_no_more() {
    let app = App::start().await;
    let acme = deploy(&app, SECTION).await;
    is_error(&ask(&app, "/secrets/reveal", "open").await, "NotFound", "open");
    for value in ["first", "second"] {
        acme.secret("open", value).await;
        assert_eq!(ask(&app, "/secrets/reveal", "open").await, json!({ "ok": value }));
    }
    let path = acme.path("/secrets/open");
    app.admin("DELETE", &path).send().await.expect(204);
    is_error(&ask(&app, "/secrets/reveal", "open").await, "NotFound", "open");
}
