//! Components: what an upload becomes, from bytes to code that can run.

mod accept;
mod artifact;
pub mod bundle;
mod cache;
mod code_files;
pub mod compile;
mod exports;
mod features;
mod files;
mod footprint;
mod imports;
mod listed;
mod refusal;
mod reseal;
mod scan;
pub mod shield;
pub mod store;
mod uses;

pub use artifact::{Artifacts, CodeCheck};
pub use cache::{ComponentCache, LoadError, Loaded};
pub use code_files::CodeFiles;
pub use compile::protocol::DescribedManifest;
pub use features::{FEATURES, proposals};
pub use listed::check_routes;
pub use refusal::{Fault, Refusal};
pub use reseal::reseal;
pub use scan::{ScanError, scan};
pub use uses::Uses;
