//! The components that the tests run: where they are, and their names.
//!
//! `build.rs` builds them from source, for wasm, whenever something of them changes. Each guest of `tests/guests` is a
//! constant here, and [`foreach_guest`] names them all, so that the tests can insist on a test for each.

include!(concat!(env!("OUT_DIR"), "/artifacts.rs"));
