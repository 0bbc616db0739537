//! Sizes and time spans as people write them: `64MiB`, `50ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes, written `512`, `64KiB`, `64MiB` or `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, example = "64MiB")]
pub struct ByteSize(pub u64);

/// A span of time, written `50ms`, `5s`, `15min` or `24h`. Its resolution is one millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, example = "50ms")]
pub struct Span(pub Duration);

/// Text that is not a size or a span.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not {wanted}")]
pub struct ParseUnitError {
    text: String,
    wanted: &'static str,
}

impl ByteSize {
    /// A size in kibibytes.
    pub const fn kib(count: u64) -> Self {
        Self(count * 1024)
    }

    /// A size in mebibytes.
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The size as a `usize`, saturating on small platforms.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Span {
    /// A span in milliseconds.
    pub const fn ms(count: u64) -> Self {
        Self(Duration::from_millis(count))
    }

    /// A span in seconds.
    pub const fn s(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }
}

/// Converts a count or a size to `u64`.
pub fn as_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// Converts a duration to microseconds.
pub fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const SPANS: [(&str, u64); 4] = [("ms", 1), ("min", 60_000), ("h", 3_600_000), ("s", 1_000)];

impl FromStr for ByteSize {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, &SIZES)
            .or_else(|| text.parse().ok())
            .map(Self)
            .ok_or_else(|| ParseUnitError {
                text: text.to_owned(),
                wanted: "a size such as `64KiB` or `64MiB`",
            })
    }
}

impl FromStr for Span {
    type Err = ParseUnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text, &SPANS).map(Self::ms).ok_or_else(|| ParseUnitError {
            text: text.to_owned(),
            wanted: "a span such as `50ms`, `5s` or `15min`",
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_largest(f, self.0, &SIZES)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write_largest(
            f,
            milliseconds,
            &[("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)],
        )
    }
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (suffix, factor) = units.iter().find(|(suffix, _)| text.ends_with(suffix))?;
    text.strip_suffix(suffix)?
        .trim_end()
        .parse::<u64>()
        .ok()?
        .checked_mul(*factor)
}

/// Writes the value in the largest unit that divides it, so that it is exact.
fn write_largest(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let unit = units
        .iter()
        .find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (suffix, factor) = unit.or(units.last()).copied().unwrap_or(("", 1));
    write!(f, "{}{suffix}", value / factor)
}

macro_rules! serde_as_text {
    ($($unit:ty),*) => {$(
        impl Serialize for $unit {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $unit {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(ByteSize, Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_read_as_they_are_written() {
        for text in ["0B", "17B", "64KiB", "64MiB", "3GiB"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        for text in ["0ms", "50ms", "5s", "15min", "24h"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("1000ms".parse::<Span>().unwrap(), Span::s(1));
        assert_eq!("512".parse::<ByteSize>().unwrap(), ByteSize(512));
    }

    #[test]
    fn nonsense_is_refused_with_an_example() {
        for text in ["", "ms", "-5s", "5", "five s", "99999999999999999999h"] {
            let error = text.parse::<Span>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("`{text}` is not a span such as `50ms`, `5s` or `15min`")
            );
        }
        assert!("64MB?".parse::<ByteSize>().is_err());
        assert!("18446744073709551615GiB".parse::<ByteSize>().is_err());
    }
}
