//! Who called, and how much time is left.

mod host;

pub use host::{ContextView, add_to_linker};
