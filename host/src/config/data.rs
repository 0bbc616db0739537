//! `[data]`: the folder and the key file of the host.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The folder and the key file of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSection {
    /// The data folder. It is created if it does not exist.
    pub folder: PathBuf,
    /// The file of the host's key, from which other keys are derived. Empty: `host.key` in the data
    /// folder, created on the first start. If it is missing later, the host does not start.
    pub key_file: PathBuf,
    /// Whether to use a control plane's database that does not belong to the folder. It applies to
    /// one start, so it is a flag of `serve` and not a key of the file.
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
