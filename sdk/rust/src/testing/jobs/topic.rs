//! Topics of events and patterns of topics, by the rules of the host.

const MAX_BYTES: usize = 128;
const MAX_SEGMENTS: usize = 16;

/// Whether a text is a topic: segments of `a-z`, `0-9`, `-` and `_`, separated by dots.
pub(super) fn is_topic(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_plain);
    text.len() <= MAX_BYTES && text.split('.').count() <= MAX_SEGMENTS && text.split('.').all(is_segment)
}

/// Whether a pattern stands for a topic: `*` for one segment, `>` at the end for one or more.
pub(super) fn matches(pattern: &str, topic: &str) -> bool {
    let mut segments = topic.split('.');
    for wanted in pattern.split('.') {
        match (wanted, segments.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_segments() {
        assert!(matches("order.created", "order.created"));
        assert!(matches("order.*", "order.created"));
        assert!(matches("order.>", "order.line.added"));
        assert!(!matches("order.*", "order.line.added"));
        assert!(!matches("order.>", "order"));
        assert!(!matches("order", "order.created"));
    }

    #[test]
    fn a_topic_is_plain_segments() {
        assert!(is_topic("order.created") && is_topic("a-b.c_d.0"));
        for text in [
            "",
            ".",
            "a.",
            "A",
            "a b",
            "order.*",
            "ö",
            &"a".repeat(129),
            &["a"; 17].join("."),
        ] {
            assert!(!is_topic(text), "{text}");
        }
    }
}
