//! The integration tests: a whole host, with guests built from source.

#![expect(
    clippy::unwrap_used,
    reason = "all of this is tests; one whose step fails ends there"
)]

mod app;
mod attacks;
mod capabilities;
mod database;
mod endings;
mod faults;
mod gateway;
mod guests;
mod http_client;
mod limits;
mod process;
mod routing;
mod upload;
mod wasi;
