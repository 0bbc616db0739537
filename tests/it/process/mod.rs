//! The executable itself: started as a process, called over real connections and through its own command line.

mod bad_start;
mod cli;
mod cli_logs;
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
mod kept_connections;
mod memory;
mod offline;
mod orders;
mod plugin;
mod restart;
mod shop;
mod slow_bodies;
mod slow_readers;
mod wire;
mod wrong_database;
