//! A cache that belongs to one plugin of one tenant.
//!
//! `host.rs` implements the host calls on the trait of `backend.rs`. `memory/` is the only back
//! end.

mod backend;
mod host;
mod memory;

pub use backend::{Answer, CacheBackend, CacheError, Scope, Value};
pub use host::{CacheView, add_to_linker};
pub use memory::MemoryCaches;
