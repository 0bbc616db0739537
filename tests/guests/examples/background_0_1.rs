//! The guest `background`, built for contract 0.1: without `complete` and steps.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.1",
        inline: "
            package test:background-frozen;

            world both {
                include mortise:plugin/http-plugin@0.1.0;
                export mortise:plugin/job-handler@0.1.0;
            }
        ",
        world: "test:background-frozen/both",
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
    use test_guests::{Value, text};

    use crate::background::{payload, said, texts};
    use crate::bindings::mortise::plugin::database::Transaction;
    use crate::bindings::mortise::plugin::{email, events, jobs};

    fn new_job(wanted: &Value) -> jobs::NewJob {
        jobs::NewJob {
            name: text(wanted, "name").to_owned(),
            payload: payload(&wanted["payload"]),
            delay_ms: wanted["after_ms"].as_u64().unwrap_or(0),
            unique_key: wanted["unique_key"].as_str().map(str::to_owned),
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

    pub fn send_mail(wanted: &Value) -> Result<Value, String> {
        let optional = |member: &str| wanted[member].as_str().map(str::to_owned);
        let message = email::Message {
            to: texts(wanted, "to"),
            subject: text(wanted, "subject").to_owned(),
            text: text(wanted, "text").to_owned(),
            html: optional("html"),
            reply_to: optional("reply_to"),
        };
        email::send(&message).map(Value::from).map_err(said)
    }

    pub fn complete(_: &Transaction) -> Result<Value, String> {
        absent()
    }

    pub fn load_step(_: &str) -> Result<Value, String> {
        absent()
    }

    pub fn store_step(_: &str, _: &str) -> Result<Value, String> {
        absent()
    }

    pub fn store_step_in(_: &Transaction, _: &str, _: &str) -> Result<Value, String> {
        absent()
    }

    fn absent() -> Result<Value, String> {
        Err("contract 0.1 has no such function".to_owned())
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
            job_handler::Origin::Schedule(due_at) => json!({ "kind": "schedule", "due_at": due_at }),
            job_handler::Origin::Event(event) => {
                json!({ "kind": "event", "id": event.id, "topic": event.topic, "source": event.source })
            }
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
