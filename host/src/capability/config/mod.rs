//! A plugin's plain settings, which the tenant sets.

mod host;

pub use host::{ConfigView, add_to_linker};
