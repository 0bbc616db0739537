//! Mortise: a multi-tenant WebAssembly plugin host for business logic.

pub mod admin;
mod afterwards;
pub mod bundle;
pub mod capability;
pub mod cli;
pub mod config;
pub mod db;
pub mod domain;
mod fair_semaphore;
pub mod gateway;
pub mod host;
pub mod ledger;
pub mod lifecycle;
pub mod metrics;
pub mod problem;
pub mod routing;
pub mod runtime;
pub mod server;
mod striped;
mod time_limit;
pub mod vault;
