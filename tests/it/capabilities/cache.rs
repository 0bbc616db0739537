//! Tests of the cache capability.

use std::time::Duration;

use serde_json::{Value, json};
use test_artifacts::CAPABILITIES;

use super::{call, deploy};
use crate::app::{App, open_manifest};

async fn cache(app: &App, input: Value) -> Value {
    call(app, "/cache", &input).await.json()
}

async fn get(app: &App, key: &str) -> Value {
    cache(app, json!({ "call": "get", "key": key })).await["ok"].clone()
}

#[tokio::test]
async fn values_are_kept_replaced_and_deleted() {
    let app = App::start().await;
    deploy(&app, "").await;
    assert_eq!(get(&app, "k").await, Value::Null);
    for value in ["first", "second", ""] {
        let set = cache(&app, json!({ "call": "set", "key": "k", "value": value })).await;
        assert_eq!(set, json!({ "ok": null }));
        assert_eq!(get(&app, "k").await, value);
    }
    cache(&app, json!({ "call": "set-bytes", "key": "b" })).await;
    assert_eq!(get(&app, "b").await, json!([1, 2, 255]));
    for _ in 0..2 {
        let deleted = cache(&app, json!({ "call": "delete", "key": "k" })).await;
        assert_eq!(deleted, json!({ "ok": null }));
        assert_eq!(get(&app, "k").await, Value::Null);
    }
}

#[tokio::test]
async fn an_entry_ends_by_the_clock() {
    let app = App::start().await;
    deploy(&app, "").await;
    cache(
        &app,
        json!({ "call": "set", "key": "k", "value": "v", "ttl_ms": 1_000 }),
    )
    .await;
    cache(&app, json!({ "call": "set", "key": "for-ever", "value": "v" })).await;
    app.advance(Duration::from_millis(999));
    assert_eq!(get(&app, "k").await, "v");
    app.advance(Duration::from_millis(1));
    assert_eq!(get(&app, "k").await, Value::Null);
    assert_eq!(get(&app, "for-ever").await, "v");
}

#[tokio::test]
async fn only_the_first_sets_what_is_absent() {
    let app = App::start().await;
    deploy(&app, "").await;
    let set = async |value: &str| {
        let input = json!({ "call": "set-if-absent", "key": "k", "value": value, "ttl_ms": 1_000 });
        cache(&app, input).await
    };
    assert_eq!(set("first").await, json!({ "ok": true }));
    assert_eq!(set("second").await, json!({ "ok": false }));
    assert_eq!(get(&app, "k").await, "first");
    app.advance(Duration::from_secs(1));
    assert_eq!(set("third").await, json!({ "ok": true }));
    assert_eq!(get(&app, "k").await, "third");
}

#[tokio::test]
async fn numbers_are_counted_for_the_time_of_the_first() {
    let app = App::start().await;
    deploy(&app, "").await;
    let add = async |delta: i64| {
        let input = json!({ "call": "increment", "key": "n", "delta": delta, "ttl_ms": 1_000 });
        cache(&app, input).await
    };
    assert_eq!(add(5).await, json!({ "ok": 5 }));
    app.advance(Duration::from_millis(600));
    assert_eq!(add(-7).await, json!({ "ok": -2 }));
    assert_eq!(get(&app, "n").await, "-2");
    app.advance(Duration::from_millis(400));
    assert_eq!(add(1).await, json!({ "ok": 1 }));

    assert!(
        add(i64::MAX).await["error"]
            .as_str()
            .unwrap()
            .contains("Unavailable")
    );
    assert_eq!(get(&app, "n").await, "1");
    cache(&app, json!({ "call": "set", "key": "n", "value": "no number" })).await;
    assert!(add(1).await["error"].as_str().unwrap().contains("not a number"));
}

#[tokio::test]
async fn many_increments_at_once_lose_none() {
    let app = App::start().await;
    deploy(&app, "").await;
    let input = json!({ "call": "increment", "key": "n" });
    futures_util::future::join_all((0..20).map(|_| call(&app, "/cache", &input))).await;
    assert_eq!(get(&app, "n").await, "20");
}

#[tokio::test]
async fn nobody_sees_the_entries_of_another() {
    let app = App::start().await;
    let acme = deploy(&app, "").await;
    acme.deploy(CAPABILITIES, &open_manifest("second", ""), &[]).await;
    let other = app.tenant("other").await;
    other.deploy(CAPABILITIES, &open_manifest("caps", ""), &[]).await;
    cache(&app, json!({ "call": "set", "key": "k", "value": "v" })).await;
    for path in ["/acme/second/cache", "/other/caps/cache"] {
        let post = |input: Value| app.post(path).json(&input).send();
        let found = post(json!({ "call": "get", "key": "k" })).await.expect(200);
        assert_eq!(found.json(), json!({ "ok": null }), "{path}");
        post(json!({ "call": "delete", "key": "k" })).await.expect(200);
    }
    assert_eq!(get(&app, "k").await, "v");
}
