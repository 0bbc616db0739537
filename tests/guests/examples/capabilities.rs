//! A guest that calls the capabilities without a separate test server: context, log, config,
//! secrets, cache, and unavailable ones.

use test_guests::guest;
use test_guests::v0_2 as contract;

#[path = "../shared/capabilities.rs"]
mod capabilities;

guest!(capabilities::handle);

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
                "customer": principal.customer,
                "attributes": principal.attributes,
            })),
            "traceparent": invocation.traceparent,
            "remote_address": invocation.remote_address,
        })
    }

    /// The results of all calls of unavailable capabilities.
    pub fn unavailable() -> Value {
        let message = email::Message {
            from: None,
            to: vec!["a@example.com".to_owned()],
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: None,
            headers: Vec::new(),
            body: email::Body::Content(email::Content {
                subject: "s".to_owned(),
                text: "t".to_owned(),
                html: None,
            }),
            attachments: Vec::new(),
            tags: Vec::new(),
            idempotency_key: None,
        };
        let token = crypto::NewToken {
            claims: "{}".to_owned(),
            audience: "a".to_owned(),
            kind: "at+jwt".to_owned(),
            ttl_seconds: 1,
        };
        json!({
            "email": result(email::send(&message)),
            "crypto": [
                result(crypto::hash_password("p")),
                result(crypto::verify_password("p", "h").map(|check| check.valid)),
                result(crypto::sign_token(&token)),
                result(crypto::verify_token("i", "t")),
                result(crypto::verify_signature(crypto::SignatureAlgorithm::Es256, "k", &[], &[])),
                result(crypto::random_bytes(1)),
            ],
        })
    }
}
