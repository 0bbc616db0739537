//! Plain settings that the tenant made for a plugin.

mod host;

pub use host::{ConfigView, add_to_linker};
