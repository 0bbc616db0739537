//! A cache that belongs to one plugin of one tenant.

mod backend;
mod host;

pub use backend::{CacheError, Caches, Key, Value};
pub use host::{CacheView, add_to_linker};
