//! The paths and names of the components that the tests run.
//!
//! `build.rs` builds them from source for wasm whenever their sources change. Each guest of
//! `tests/guests` is a constant here, and [`foreach_guest`] lists all of them, so that the tests
//! can require a test for each.

include!(concat!(env!("OUT_DIR"), "/artifacts.rs"));
