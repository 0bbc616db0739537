//! Refusals of uploads: the wrong part, the problem and a hint.

use serde::{Deserialize, Serialize};

/// The longest message or hint in bytes. It limits how much of an upload is repeated.
const MAX_TEXT: usize = 4 * 1024;

/// The wrong part of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The WebAssembly itself: 422 `invalid-component`.
    Component,
    /// The manifest, a migration or a schema: 422 `invalid-manifest`.
    Manifest,
    /// Compiling exceeds a limit: 422 `compile-limit`.
    Limit,
}

/// A refusal of an upload, or of a stored version that this host no longer runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(deny_unknown_fields)]
#[error("{message}")]
pub struct Refusal {
    /// The wrong part of the upload.
    pub fault: Fault,
    /// The problem and its place.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl Refusal {
    /// A refusal because of the component.
    pub fn component(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Fault::Component, message, hint)
    }

    /// A refusal because of the manifest, a migration or a schema.
    pub fn manifest(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Fault::Manifest, message, hint)
    }

    /// A refusal because of a limit.
    pub fn limit(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Fault::Limit, message, hint)
    }

    fn new(fault: Fault, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            fault,
            message: cut(message.into()),
            hint: cut(hint.into()),
        }
    }

    /// Cuts the texts of a refusal that another process wrote.
    pub fn bounded(self) -> Self {
        Self::new(self.fault, self.message, self.hint)
    }
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character() {
        let refusal = Refusal::component("ä".repeat(MAX_TEXT), "");
        assert_eq!(refusal.message.chars().count(), MAX_TEXT / 2 + 1);
        let long = Refusal {
            fault: Fault::Limit,
            message: "x".repeat(2 * MAX_TEXT),
            hint: "y".repeat(2 * MAX_TEXT),
        };
        let long = long.bounded();
        assert_eq!(
            (long.message.chars().count(), long.hint.chars().count()),
            (MAX_TEXT + 1, MAX_TEXT + 1)
        );
    }
}
