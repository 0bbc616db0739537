//! SQLite in this process: set up before its first use, with memory and time that are charged to
//! tenants.
//!
//! The control plane and the databases of the tenants share one SQLite, so its allocator is one for
//! both.

mod configure;
pub mod memory;
mod schema;
pub mod watch;

pub use configure::configure;
pub use schema::schema_bytes;
