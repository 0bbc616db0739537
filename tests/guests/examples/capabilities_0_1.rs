//! The guest `capabilities`, built for contract 0.1.

use test_guests::guest;
use test_guests::v0_1 as contract;

#[path = "../shared/capabilities.rs"]
mod capabilities;

guest!(v0_1, capabilities::handle);

/// What differs between the versions of the contract.
mod own {
    use test_guests::{Value, json, result};

    use crate::contract::{context, crypto, email, events, jobs};

    /// The context as JSON, without the remaining time.
    pub fn current(invocation: &context::Invocation) -> Value {
        json!({
            "id": invocation.id,
            "tenant": invocation.tenant,
            "plugin": invocation.plugin,
            "version": invocation.version,
            "trigger": format!("{:?}", invocation.trigger),
            "principal": invocation.principal.as_ref().map(|principal| json!({
                "kind": principal.kind,
                "id": principal.id,
                "scopes": principal.scopes,
                "claims": principal.claims,
            })),
            "traceparent": invocation.traceparent,
        })
    }

    /// The results of all calls of unavailable capabilities.
    pub fn unavailable() -> Value {
        let job = jobs::NewJob {
            name: "j".to_owned(),
            payload: "{}".to_owned(),
            delay_ms: 0,
            unique_key: None,
        };
        let message = email::Message {
            to: vec!["a@example.com".to_owned()],
            subject: "s".to_owned(),
            text: "t".to_owned(),
            html: None,
            reply_to: None,
        };
        json!({
            "jobs": result(jobs::enqueue(&job)),
            "events": result(events::publish("t", "{}")),
            "email": result(email::send(&message)),
            "crypto": [
                result(crypto::hash_password("p")),
                result(crypto::verify_password("p", "h")),
                result(crypto::sign_token("{}", 1)),
                result(crypto::verify_token("t")),
            ],
        })
    }
}
