//! Formats an error and its causes as one line for the operator.

use std::error::Error;

/// The error and its causes, separated by colons. A cause is left out if the text contains it
/// already.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| (*error).source()) {
        let message = cause.to_string();
        if !text.contains(&message) {
            text = format!("{text}: {message}");
        }
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Caused {
        text: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn each_cause_is_told_once() {
        let told = |text| {
            let source = std::io::Error::other("the disk\nis full");
            with_causes(&Caused { text, source })
        };
        assert_eq!(told("not written"), "not written: the disk is full");
        assert_eq!(
            told("not written: the disk\nis full"),
            "not written: the disk is full"
        );
    }
}
