//! Components: what an upload becomes, from bytes to code that can run.

mod accept;
mod artifact;
pub mod bundle;
pub mod compile;
pub mod contract;
mod error;
mod exports;
mod features;
mod footprint;
mod imports;
mod listed;
mod refusal;
mod reseal;
mod scan;
pub mod shield;
mod store;
mod uses;

pub use artifact::{Artifacts, Code};
pub use compile::protocol::DescribedManifest;
pub use error::LoadError;
pub use features::{FEATURES, proposals};
pub use listed::check_listed;
pub use refusal::{Fault, Refusal};
pub use reseal::reseal;
pub use scan::{ScanError, scan};
pub use store::folder::ComponentFiles;
pub use uses::Uses;
