//! Mortise: a multi-tenant WebAssembly plugin host for business logic.

pub mod admin;
mod allocator;
pub mod capability;
mod causes;
pub mod cli;
pub mod components;
pub mod config;
pub mod deadline;
pub mod domain;
pub mod fail_point;
mod fair_semaphore;
pub mod gateway;
pub mod host;
pub mod http;
mod invoke;
pub mod jobs;
pub mod ledger;
pub mod lifecycle;
pub mod metrics;
pub mod sandbox;
pub mod server;
mod sqlite;
pub mod storage;
pub mod tenants;
mod unguarded;
pub mod webhooks_out;
mod wire;
