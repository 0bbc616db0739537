//! Tests of events: topics, grants, one job for each subscriber, and what a subscriber sees.

use serde_json::{Value, json};

use super::{Plugin, effect, members};
use crate::app::{App, START};

const PUBLISHES: &str = "[events]\npublish = ['order.*']\n";

/// A subscription with a kind of job of its own.
fn subscribe(topic: &str, job: &str) -> String {
    format!("[[job]]\nname = '{job}'\n[[subscribe]]\ntopic = '{topic}'\njob = '{job}'\n")
}

fn publish(topic: &str, steps: &Value) -> Value {
    json!({ "publish": { "topic": topic, "payload": { "do": steps } } })
}

#[tokio::test]
async fn each_subscriber_gets_a_job_with_the_same_event() {
    let app = App::start().await;
    let own = format!("{PUBLISHES}{}", subscribe("order.created", "own"));
    let plugin = Plugin::deploy(&app, &own).await;
    let both = subscribe("order.>", "all") + &subscribe("*.created", "created");
    plugin.beside("listener", &both).await;
    plugin.beside("deaf", &subscribe("order.paid", "paid")).await;
    let seen = json!([{ "job": null }, { "report": "seen" }]);
    let id = plugin.step(publish("order.created", &seen)).await;
    let id = id.as_str().unwrap();
    plugin.until_idle().await;
    let jobs = plugin.jobs("").await;
    let mut kinds = members(&jobs, "job");
    kinds.sort();
    assert_eq!(kinds, ["all", "created", "own"]);
    for (_, results) in plugin.reports("seen").await {
        let seen = &results[0]["ok"];
        assert_eq!(
            seen["origin"],
            json!({
                "kind": "event", "id": id, "topic": "order.created", "source": "p", "time": START.to_string(),
            })
        );
        assert_eq!(
            seen["payload"],
            json!({ "do": [{ "job": null }, { "report": "seen" }] }).to_string()
        );
    }
    assert_eq!(plugin.reports("seen").await.len(), 3);
    for job in &jobs {
        let event = &plugin.job(job["id"].as_str().unwrap()).await["origin"]["event"];
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(
            (&event["id"], &event["type"]),
            (&json!(id), &json!("order.created"))
        );
        assert_eq!(
            (&event["source"], &event["datacontenttype"]),
            (&json!("p"), &json!("application/json"))
        );
        assert_eq!(event["data"]["do"], seen);
        assert_eq!(job["depth"], 0);
    }
}

#[tokio::test]
async fn an_event_stays_the_same_in_all_attempts() {
    let app = App::start().await;
    let sections = format!("{PUBLISHES}{}", subscribe("order.created", "work"));
    let plugin = Plugin::deploy(&app, &sections).await;
    let fail = json!({ "fail": ["retry", "no"], "attempts": [1] });
    plugin
        .step(publish(
            "order.created",
            &json!([{ "job": null }, { "report": "seen" }, fail]),
        ))
        .await;
    let id = plugin.jobs("").await[0]["id"].as_str().unwrap().to_owned();
    plugin.until(&id, "scheduled").await;
    app.advance(std::time::Duration::from_secs(1));
    app.pass().await;
    plugin.until(&id, "done").await;
    let seen = plugin.reports("seen").await;
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].1[0]["ok"]["origin"], seen[1].1[0]["ok"]["origin"]);
}

#[tokio::test]
async fn topics_are_granted_by_pattern() {
    let app = App::start().await;
    let sections = format!("{PUBLISHES}{}", subscribe("order.created", "work"));
    let plugin = Plugin::deploy(&app, &sections).await;
    for (topic, kind) in [
        ("invoice.created", "NotGranted"),
        ("order", "NotGranted"),
        ("order.line.added", "NotGranted"),
        ("Order.created", "Invalid"),
        ("order..created", "Invalid"),
        ("order.*", "Invalid"),
        ("", "Invalid"),
    ] {
        let error = plugin.refused(publish(topic, &json!([]))).await;
        assert!(error.contains(kind), "{topic}: {error}");
        let inside = json!({ "transaction": [publish(topic, &json!([]))] });
        let error = plugin.refused(inside).await;
        // The errors of the database have no variant for grants.
        let wanted = if kind == "NotGranted" { "Denied" } else { "Invalid" };
        assert!(error.contains(wanted), "{topic}: {error}");
    }
    // A tenant can grant less than a plugin asks for.
    plugin
        .tenant
        .grant("p", &json!({ "database": true, "events": [] }))
        .await;
    let error = plugin.refused(publish("order.created", &json!([]))).await;
    assert!(error.contains("NotGranted"), "{error}");
    assert!(plugin.jobs("").await.is_empty());
}

#[tokio::test]
async fn an_event_without_subscribers_is_published_all_the_same() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let id = plugin.step(publish("order.created", &json!([]))).await;
    assert!(id.as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{id}");
    assert!(plugin.jobs("").await.is_empty());
}

#[tokio::test]
async fn an_event_of_a_transaction_is_published_if_it_commits() {
    let app = App::start().await;
    let sections = format!("{PUBLISHES}{}", subscribe("order.created", "work"));
    let plugin = Plugin::deploy(&app, &sections).await;
    let event = |key: &str| publish("order.created", &json!([effect(key)]));
    plugin
        .step(json!({ "transaction": [effect("rolled back"), event("lost")], "end": "rollback" }))
        .await;
    let answers = plugin
        .step(json!({ "transaction": [effect("order"), event("job")] }))
        .await;
    plugin.settle().await;
    assert_eq!(plugin.effects().await, ["order", "job"]);
    let jobs = plugin.jobs("").await;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["origin"]["event"]["id"], answers[1]);
}

#[tokio::test]
async fn another_tenant_hears_nothing() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let other = Plugin::deploy_for(&app, "other", &subscribe("order.created", "work")).await;
    plugin
        .step(publish("order.created", &json!([effect("heard")])))
        .await;
    app.pass().await;
    assert!(other.jobs("").await.is_empty());
    assert!(plugin.jobs("").await.is_empty());
}

#[tokio::test]
async fn the_subscribers_are_those_of_the_active_versions() {
    let app = App::start().await;
    let plugin = Plugin::deploy(&app, PUBLISHES).await;
    let listener = plugin
        .beside("listener", &subscribe("order.created", "work"))
        .await;
    plugin
        .step(publish("order.created", &json!([effect("first")])))
        .await;
    plugin.until_idle().await;
    listener.update("2.0.0", "").await;
    plugin
        .step(publish("order.created", &json!([effect("second")])))
        .await;
    app.pass().await;
    plugin.until_idle().await;
    assert_eq!(plugin.effects().await, ["first"]);
}

#[tokio::test]
async fn an_event_has_at_most_200_receivers() {
    let app = App::start().await;
    let kinds: String = (0..200)
        .map(|number| subscribe("order.created", &format!("j{number}")))
        .collect();
    let plugin = Plugin::deploy(&app, &format!("{PUBLISHES}{kinds}")).await;
    plugin.change("POST", "/plugins/p/jobs/pause").await.expect(200);
    let event = publish("order.created", &json!([]));
    let inside = json!({ "transaction": [event] });
    plugin.step(event.clone()).await;
    plugin.step(inside.clone()).await;
    app.pass().await;
    let live = async || plugin.read("/jobs/summary").await["live"].clone();
    assert_eq!(live().await, 400);
    let listener = plugin.beside("listener", &subscribe("order.*", "one-more")).await;
    for step in [&event, &inside] {
        let error = plugin.refused(step.clone()).await;
        assert!(error.contains("Limit") && error.contains("200"), "{error}");
    }
    app.pass().await;
    assert_eq!(live().await, 400);
    // Without the last subscriber, it is published again.
    listener.update("2.0.0", "").await;
    plugin.step(event).await;
    assert_eq!(live().await, 600);
}

#[tokio::test]
async fn events_that_lead_to_each_other_end_at_the_depth_limit() {
    let app = App::start().await;
    let sections = format!("{PUBLISHES}{}", subscribe("order.created", "work"));
    let plugin = Plugin::deploy(&app, &sections).await;
    plugin.tenant.limit(&json!({ "job_depth": 3 })).await;
    // Each job publishes the next event; the payload is written from the inside out.
    let mut steps = json!([effect("too deep")]);
    for level in (1..=4).rev() {
        let mut next = publish("order.created", &steps);
        next["anyway"] = json!(true);
        steps = json!([effect(&level.to_string()), next, { "report": level.to_string() }]);
    }
    plugin.step(publish("order.created", &steps)).await;
    plugin.until_idle().await;
    assert_eq!(plugin.effects().await, ["1", "2", "3"]);
    let last = plugin.reports("3").await;
    let error = last[0].1[1]["error"].as_str().unwrap();
    assert!(error.contains("Limit") && error.contains("job_depth"), "{error}");
}
