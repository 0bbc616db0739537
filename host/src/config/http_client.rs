//! `[http_client]`: outbound requests of plugins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Outbound requests of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientSection {
    /// Whether plugins may send requests to loopback addresses of the host, if the tenant grants
    /// it. For development.
    pub allow_loopback: bool,
    /// Files with certificate authorities (PEM) that are trusted in addition to the public ones.
    pub certificate_authorities: Vec<PathBuf>,
}
