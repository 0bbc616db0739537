//! Inbound webhooks: checks the signature of a request, stores it and adds its job, before any
//! instance of the plugin exists.
//!
//! `signature.rs` checks a request with the scheme of the manifest. `receiver.rs` finds the secrets
//! and passes what is valid to the job queue, which stores the webhook with its job.

mod receiver;
mod signature;

pub use receiver::{NotReceived, Receiver, WebhookCounters};
