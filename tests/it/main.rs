//! The in-process tests: a complete host, called through its routers, with guests built from
//! source.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests; one whose step fails ends there"
)]

mod app;
mod attacks;
mod broken_rows;
mod cancellation;
mod capabilities;
mod conformance;
mod contracts;
mod database;
mod endings;
mod faults;
mod faults_of_storage;
mod functions;
mod gateway;
mod guests;
mod health;
mod http_client;
mod jobs;
mod lifecycle;
mod limits;
mod mail;
mod metrics;
mod panics;
mod printing;
mod recompile;
mod reuse;
mod routing;
mod schemas;
#[path = "../shared/mod.rs"]
mod shared;
#[path = "../shared/smtp.rs"]
mod smtp;
mod stored;
mod templates;
mod upload;
mod wasi;
mod webhooks_in;
mod webhooks_out;
