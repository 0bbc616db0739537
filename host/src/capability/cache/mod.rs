//! A cache that belongs to one plugin of one tenant.
//!
//! `host.rs` answers the host calls. It speaks to the back end through the trait of `backend.rs`;
//! `memory.rs` is the one that there is.

mod backend;
mod host;
mod memory;

pub use backend::{Answer, CacheBackend, CacheError, Scope, Value};
pub use host::{CacheView, add_to_linker};
pub use memory::MemoryCaches;
