//! Components: what an upload becomes, from bytes to code that can run.

mod artifact;
pub mod bundle;
mod cache;
pub mod compile;
mod scan;
mod store;

pub use artifact::Artifacts;
pub use cache::{ComponentCache, LoadError, Loaded};
pub use scan::{ScanError, scan};
pub use store::folder::ComponentFiles;
