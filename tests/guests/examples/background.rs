//! A guest that runs a list of host calls, as a request or as a job.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.2",
        inline: "
            package test:background;

            world both {
                include mortise:plugin/http-plugin@0.2.0;
                export mortise:plugin/job-handler@0.2.0;
            }
        ",
        world: "test:background/both",
        generate_all,
    });
}

use bindings::exports::mortise::plugin::{http_handler, job_handler};
use bindings::mortise::plugin::failures::Failure;
use test_guests::json;

#[path = "../shared/background.rs"]
mod background;

use background::{Failed, Running};

mod contract {
    pub use crate::bindings::mortise::plugin::http_types::{Body, Request, Response};
    pub use crate::bindings::mortise::plugin::types::Content;
    pub use crate::bindings::mortise::plugin::{context, database, http_client, log};
}

/// What differs between the versions of the contract.
mod own {
    use test_guests::{Value, json, text};

    use crate::background::{payload, said, texts};
    use crate::bindings::mortise::plugin::database::Transaction;
    use crate::bindings::mortise::plugin::{email, events, jobs, steps};

    fn new_job(wanted: &Value) -> jobs::NewJob {
        let key = |name: &str| wanted[name].as_str().map(str::to_owned);
        jobs::NewJob {
            name: text(wanted, "name").to_owned(),
            payload: payload(&wanted["payload"]),
            due: match (wanted["after_ms"].as_u64(), wanted["at"].as_str()) {
                (Some(delay), _) => jobs::Due::AfterMs(delay),
                (None, Some(at)) => jobs::Due::At(at.to_owned()),
                (None, None) => jobs::Due::Now,
            },
            priority: wanted["priority"]
                .as_i64()
                .and_then(|priority| i32::try_from(priority).ok())
                .unwrap_or(0),
            unique_key: key("unique_key"),
            concurrency_key: key("concurrency_key"),
        }
    }

    pub fn enqueue(wanted: &Value) -> Result<String, String> {
        jobs::enqueue(&new_job(wanted)).map_err(said)
    }

    pub fn enqueue_in(transaction: &Transaction, wanted: &Value) -> Result<String, String> {
        transaction.enqueue(&new_job(wanted)).map_err(said)
    }

    pub fn publish(topic: &str, payload: &str) -> Result<Value, String> {
        events::publish(topic, payload).map(Value::from).map_err(said)
    }

    pub fn publish_in(transaction: &Transaction, topic: &str, payload: &str) -> Result<Value, String> {
        transaction.publish(topic, payload).map(Value::from).map_err(said)
    }

    pub fn complete(transaction: &Transaction) -> Result<Value, String> {
        transaction.complete().map(Value::from).map_err(said)
    }

    pub fn send_mail(wanted: &Value) -> Result<Value, String> {
        let optional = |member: &str| wanted[member].as_str().map(str::to_owned);
        let list = |member: &str| wanted[member].as_array().into_iter().flatten();
        let item = |item: &Value, index: usize| item[index].as_str().unwrap_or_default().to_owned();
        let body = match optional("template") {
            Some(name) => email::Body::Template(email::Template {
                name,
                values: payload(&wanted["values"]),
            }),
            None => email::Body::Content(email::Content {
                subject: text(wanted, "subject").to_owned(),
                text: text(wanted, "text").to_owned(),
                html: optional("html"),
            }),
        };
        let message = email::Message {
            from: optional("from"),
            to: texts(wanted, "to"),
            cc: texts(wanted, "cc"),
            bcc: texts(wanted, "bcc"),
            reply_to: optional("reply_to"),
            headers: list("headers")
                .map(|header| (item(header, 0), item(header, 1)))
                .collect(),
            body,
            attachments: list("attachments")
                .map(|attachment| email::Attachment {
                    name: text(attachment, "name").to_owned(),
                    content_type: text(attachment, "type").to_owned(),
                    content: text(attachment, "text").as_bytes().to_vec(),
                })
                .collect(),
            tags: texts(wanted, "tags"),
            idempotency_key: optional("key"),
        };
        email::send(&message).map(Value::from).map_err(said)
    }

    pub fn load_step(name: &str) -> Result<Value, String> {
        steps::load(name).map(|found| json!(found)).map_err(said)
    }

    pub fn store_step(name: &str, result: &str) -> Result<Value, String> {
        steps::store(name, result).map(Value::from).map_err(said)
    }

    pub fn store_step_in(transaction: &Transaction, name: &str, result: &str) -> Result<Value, String> {
        transaction
            .store_step(name, result)
            .map(Value::from)
            .map_err(said)
    }
}

struct Guest;

impl http_handler::Guest for Guest {
    fn handle(request: contract::Request) -> contract::Response {
        background::handle(request)
    }
}

impl job_handler::Guest for Guest {
    fn run(job: job_handler::Job) -> Result<(), Failure> {
        let origin = match job.origin {
            job_handler::Origin::Enqueued => json!({ "kind": "enqueued" }),
            job_handler::Origin::Schedule(schedule) => {
                json!({ "kind": "schedule", "name": schedule.name, "due_at": schedule.due_at })
            }
            job_handler::Origin::Event(event) => json!({
                "kind": "event", "id": event.id, "topic": event.topic, "source": event.source, "time": event.time,
            }),
            job_handler::Origin::Webhook(webhook) => json!({
                "kind": "webhook", "name": webhook.name, "headers": webhook.headers,
            }),
        };
        let running = Running {
            id: job.id,
            name: job.name,
            payload: job.payload,
            origin,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
        };
        background::run(&running).map_err(|failed| match failed {
            Failed::Retry(why) => Failure::Retry(why),
            Failed::RetryAfter(ms, why) => Failure::RetryAfter((ms, why)),
            Failed::Discard(why) => Failure::Discard(why),
        })
    }
}

bindings::export!(Guest with_types_in bindings);
