//! `[data]`: where the host keeps its files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Where the host keeps what it knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// The folder. It is made where it is missing.
    pub folder: PathBuf,
    /// The file of the host's key, from which the others are derived. Empty: `host.key` in the folder, made on the
    /// first start. Without it the host does not start.
    pub key_file: PathBuf,
    /// Whether a control plane's database that does not belong to the folder is used all the same: for one
    /// start, so it is a flag of `serve` and no key.
    #[serde(skip)]
    pub accept_database: bool,
}

impl Default for DataSection {
    fn default() -> Self {
        Self {
            folder: "mortise-data".into(),
            key_file: PathBuf::new(),
            accept_database: false,
        }
    }
}
