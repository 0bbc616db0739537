//! Tests of the executable: it runs as a process, and is called over real connections and through
//! its command line.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests; one whose step fails ends there"
)]

mod bad_start;
mod cli;
mod cli_jobs;
mod cli_logs;
mod cli_mail;
mod cli_versions;
mod connections;
mod crowds;
mod deploy_under_load;
mod drain;
mod frames;
mod full_disk;
mod gauges;
mod host;
mod http;
mod http2;
mod jobs;
mod kept_connections;
mod memory;
mod offline;
mod orders;
mod plugin;
mod restart;
#[path = "../shared/mod.rs"]
mod shared;
mod shop;
mod slow_bodies;
mod slow_readers;
mod wire;
mod wrong_database;
