//! JSON of errors (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error response (RFC 9457). Every route may return it.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// URL of the page that explains the code.
    pub r#type: String,
    /// A short name for people.
    pub title: String,
    /// The status of the response.
    pub status: u16,
    /// Stable, machine-readable error code.
    pub code: String,
    /// What is wrong with this request.
    pub detail: String,
    /// What to do next, if the host knows.
    pub hint: Option<String>,
    /// The id of the request in the logs.
    pub request_id: String,
}
