//! From bytes to a version that serves: what is refused on the way, and that a refusal leaves
//! nothing behind.

mod activation;
mod bomb;
mod component;
mod contract;
mod files;
mod manifest;
mod migrations;
mod proposals;
mod reading;
mod repair;
mod shield;
mod slow;
pub mod wasm;

pub use component::{an_import_that_nobody_offers_is_named, routes_need_a_handler};
