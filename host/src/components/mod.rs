//! Components: checks, compilation, storage and loading of uploaded plugins.

mod accept;
mod artifact;
pub mod bundle;
mod code_files;
pub mod compile;
pub mod contract;
mod embedded_code;
mod error;
mod exports;
mod features;
mod files;
mod footprint;
mod imports;
mod listed;
mod refusal;
mod reseal;
mod scan;
mod seal;
pub mod shield;
pub mod store;
mod uses;

pub use artifact::{Artifacts, Code, CodeCheck};
pub use code_files::CodeFiles;
pub use compile::protocol::DescribedManifest;
pub use error::LoadError;
pub use features::{FEATURES, proposals};
pub use listed::check_listed;
pub use refusal::{Fault, Refusal};
pub use reseal::reseal;
pub use scan::{ScanError, scan};
pub use uses::Uses;
