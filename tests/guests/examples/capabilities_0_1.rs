//! The guest `capabilities`, built for contract 0.1.

use test_guests::guest;
use test_guests::v0_1 as contract;

#[path = "../shared/capabilities.rs"]
mod capabilities;

guest!(v0_1, capabilities::handle);

/// What differs between the versions of the contract.
mod own {
    use test_guests::{Value, json, result};

    use crate::contract::{context, crypto, email};

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
        let message = email::Message {
            to: vec!["a@example.com".to_owned()],
            subject: "s".to_owned(),
            text: "t".to_owned(),
            html: None,
            reply_to: None,
        };
        json!({
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
