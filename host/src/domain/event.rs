//! Events that plugins publish for other plugins of their tenant, in the shape of CloudEvents 1.0.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::{EventId, PluginName};

/// The most receivers of an event in its tenant: the kinds of jobs that subscribe to its topic and
/// the webhook endpoints together. The event becomes one job for each.
pub const MOST_RECEIVERS: u16 = 200;

/// An event without its data. The names of the members are those of CloudEvents 1.0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Event {
    /// The id. It stays the same for all subscribers and all attempts.
    pub id: EventId,
    /// The plugin that published it.
    #[schema(value_type = String)]
    pub source: PluginName,
    /// The topic.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub topic: Topic,
    /// When it was published.
    pub time: Timestamp,
}

/// What an event is about: segments of `a-z`, `0-9`, `-` and `_`, separated by dots, such as
/// `order.created`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Topic(String);

/// A pattern of topics. `*` stands for one segment, and `>` at the end for one or more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct TopicPattern(String);

/// Why a text is no topic or no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a topic: 1 to 16 segments of a-z, 0-9, `-` and `_`, separated by dots{1}")]
pub struct InvalidTopic(String, &'static str);

const MAX_BYTES: usize = 128;
const MAX_SEGMENTS: usize = 16;

impl Topic {
    /// The topic as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TopicPattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern stands for the topic.
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut segments = topic.0.split('.');
        for wanted in self.0.split('.') {
            match (wanted, segments.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    /// Whether this pattern stands for every topic that `other` stands for.
    pub fn covers(&self, other: &Self) -> bool {
        let mut segments = other.0.split('.');
        for wanted in self.0.split('.') {
            match (wanted, segments.next()) {
                (">", Some(_)) => return true,
                ("*", Some(segment)) if segment != ">" => {}
                (wanted, Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_dotted(text, |_, _| false) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidTopic(shown(text), "")),
        }
    }
}

impl FromStr for TopicPattern {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match is_dotted(text, |segment, last| segment == "*" || (segment == ">" && last)) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidTopic(
                shown(text),
                "; `*` stands for one segment and `>` at the end for the rest",
            )),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

fn is_dotted(text: &str, wildcard: impl Fn(&str, bool) -> bool) -> bool {
    let count = text.split('.').count();
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    let segments = text.split('.').enumerate();
    text.len() <= MAX_BYTES
        && count <= MAX_SEGMENTS
        && segments
            .into_iter()
            .all(|(index, segment)| plain(segment) || wildcard(segment, index + 1 == count))
}

impl TryFrom<String> for Topic {
    type Error = InvalidTopic;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for TopicPattern {
    type Error = InvalidTopic;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        let pattern: TopicPattern = pattern.parse().unwrap();
        pattern.matches(&topic.parse().unwrap())
    }

    #[test]
    fn a_wildcard_stands_for_one_segment_and_the_last_one_for_the_rest() {
        assert!(matches("order.created", "order.created"));
        assert!(matches("order.*", "order.created"));
        assert!(matches("*.created", "order.created"));
        assert!(matches("order.>", "order.line.added"));
        assert!(!matches("order.*", "order"));
        assert!(!matches("order.*", "order.line.added"));
        assert!(!matches("order.>", "order"));
        assert!(!matches("order", "order.created"));
    }

    #[test]
    fn a_pattern_covers_what_it_matches_at_least() {
        let covers = |wide: &str, narrow: &str| {
            let wide: TopicPattern = wide.parse().unwrap();
            wide.covers(&narrow.parse().unwrap())
        };
        for (wide, narrow) in [
            ("order.created", "order.created"),
            ("order.*", "order.created"),
            ("order.*", "order.*"),
            ("order.>", "order.*"),
            ("order.>", "order.line.>"),
            ("order.>", "order.>"),
            (">", "*"),
            (">", "a.*.>"),
            ("*.>", "a.>"),
            ("*.*", "a.*"),
        ] {
            assert!(covers(wide, narrow), "{wide} covers {narrow}");
            assert_eq!(covers(narrow, wide), wide == narrow, "{narrow} covers {wide}");
        }
        for (one, other) in [
            ("order.*", "*.created"),
            ("*", "a.b"),
            ("*", ">"),
            ("a.b", "a.c"),
            ("a.*", "a.>"),
        ] {
            assert!(!covers(one, other), "{one} does not cover {other}");
        }
    }

    #[test]
    fn topics_are_segments_of_plain_characters() {
        for topic in ["a", "order.created", "a-b.c_d.0"] {
            assert!(topic.parse::<Topic>().is_ok(), "{topic}");
        }
        let long = "a".repeat(MAX_BYTES + 1);
        let deep = vec!["a"; MAX_SEGMENTS + 1].join(".");
        for topic in ["", ".", "a.", "A", "a b", "order.*", "ö", &long, &deep] {
            assert!(topic.parse::<Topic>().is_err(), "{topic}");
        }
        for pattern in ["*", ">", "a.*.b", "a.>"] {
            assert!(pattern.parse::<TopicPattern>().is_ok(), "{pattern}");
        }
        for pattern in ["a.>.b", "a*", "**"] {
            assert!(pattern.parse::<TopicPattern>().is_err(), "{pattern}");
        }
    }
}
