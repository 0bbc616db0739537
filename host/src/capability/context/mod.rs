//! The context of an invocation: the caller, the trigger and the remaining time.

mod host;

pub use host::{ContextView, add_to_linker};
