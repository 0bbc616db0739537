//! `[http_client]`: outbound requests of plugins.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Outbound requests of plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientSection {
    /// Whether plugins may reach loopback addresses of the host where a tenant grants it. For development.
    pub allow_loopback: bool,
    /// Files of certificate authorities (PEM) that are trusted besides those of the web.
    pub certificate_authorities: Vec<PathBuf>,
}
