//! The problem responses of the host that the test host also returns.

use crate::Error;

/// A problem of the host. Its code determines the status and the title.
#[derive(Clone, Copy)]
pub(super) enum Code {
    InvalidRequest,
    ValidationFailed,
    InvalidInput,
    InvalidWebhook,
    Unauthenticated,
    InsufficientScope,
    NotFound,
    MethodNotAllowed,
    BodyTooLarge,
    UnsupportedMediaType,
    FunctionFailed,
    PluginInvalidResponse,
    Unavailable,
}

impl Code {
    const fn parts(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::InvalidRequest => (400, "invalid-request", "Invalid request"),
            Self::ValidationFailed => (400, "validation-failed", "Validation failed"),
            Self::InvalidInput => (400, "invalid-input", "Invalid input"),
            Self::InvalidWebhook => (400, "invalid-webhook", "Invalid webhook"),
            Self::Unauthenticated => (401, "unauthenticated", "Unauthenticated"),
            Self::InsufficientScope => (403, "insufficient-scope", "Insufficient scope"),
            Self::NotFound => (404, "not-found", "Not found"),
            Self::MethodNotAllowed => (405, "method-not-allowed", "Method not allowed"),
            Self::BodyTooLarge => (413, "body-too-large", "Body too large"),
            Self::UnsupportedMediaType => (415, "unsupported-media-type", "Unsupported media type"),
            Self::FunctionFailed => (422, "function-failed", "The function failed"),
            Self::PluginInvalidResponse => {
                (502, "plugin-invalid-response", "The plugin's response is invalid")
            }
            Self::Unavailable => (503, "unavailable", "Unavailable"),
        }
    }

    /// Creates the problem with a detail for the caller.
    pub fn problem(self, detail: impl Into<String>) -> Error {
        let (status, code, title) = self.parts();
        Error::new(status, code, detail.into())
            .with_field("type", format!("/-/problems/{code}"))
            .with_field("title", title)
    }
}
