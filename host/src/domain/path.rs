//! URL paths: rejects ambiguous ones and percent-decodes the others once. Matching, authentication
//! and the plugin's parameters all use the decoded path.
//!
//! Patterns in manifests are decoded in the same way, so `/ü` in a manifest and `/%C3%BC` in a
//! request are the same path.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Why a path is refused: different servers could interpret it differently. The text completes "the
/// path has …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AmbiguousPath {
    /// The path does not begin with a slash.
    #[error("no leading `/`")]
    NotAbsolute,
    /// `//`.
    #[error("an empty segment (`//`)")]
    EmptySegment,
    /// A `%` that two hexadecimal digits do not follow.
    #[error("a broken percent escape")]
    BrokenEscape,
    /// An escape that would change the structure of the path if it were decoded.
    #[error("an encoded slash, backslash or NUL")]
    EncodedSeparator,
    /// A backslash, which some servers read as a slash.
    #[error("a backslash")]
    Backslash,
    /// `.` or `..`, encoded or not.
    #[error("a dot segment")]
    DotSegment,
    /// Escapes whose bytes are not UTF-8.
    #[error("an escape that is not UTF-8")]
    NotUtf8,
}

/// Checks a received path. A checked path can be passed to [`decode`], as a whole or in pieces
/// between slashes.
pub fn check(path: &str) -> Result<(), AmbiguousPath> {
    let Some(segments) = path.strip_prefix('/') else {
        return Err(AmbiguousPath::NotAbsolute);
    };
    if path.contains("//") {
        return Err(AmbiguousPath::EmptySegment);
    }
    segments.split('/').try_for_each(check_segment)
}

/// Decodes a checked path, or a piece of one between slashes.
pub fn decode(path: &str) -> Result<Cow<'_, str>, AmbiguousPath> {
    percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| AmbiguousPath::NotUtf8)
}

/// Whether a decoded path below the mount point of a plugin belongs to the host.
pub fn is_reserved(path: &str) -> bool {
    path.strip_prefix("/-")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn check_segment(segment: &str) -> Result<(), AmbiguousPath> {
    let mut dots_only = !segment.is_empty();
    let mut length = 0;
    let mut bytes = segment.bytes();
    while let Some(mut byte) = bytes.next() {
        if byte == b'%' {
            byte = escaped(&mut bytes).ok_or(AmbiguousPath::BrokenEscape)?;
            if matches!(byte, b'/' | b'\\' | 0) {
                return Err(AmbiguousPath::EncodedSeparator);
            }
        } else if byte == b'\\' {
            return Err(AmbiguousPath::Backslash);
        }
        dots_only &= byte == b'.';
        length += 1;
    }
    match dots_only && length <= 2 {
        true => Err(AmbiguousPath::DotSegment),
        false => Ok(()),
    }
}

/// The byte that is encoded by the two hexadecimal digits after a `%`.
fn escaped(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_paths_are_refused() {
        use AmbiguousPath::*;
        for (path, why) in [
            ("", NotAbsolute),
            ("a/b", NotAbsolute),
            ("//a", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a/..", DotSegment),
            ("/a/../b", DotSegment),
            ("/a/%2e%2E/b", DotSegment),
            ("/a/.%2e", DotSegment),
            ("/./a", DotSegment),
            ("/a%2fb", EncodedSeparator),
            ("/a%5Cb", EncodedSeparator),
            ("/%00", EncodedSeparator),
            ("/a\\b", Backslash),
            ("/%zz", BrokenEscape),
            ("/%2", BrokenEscape),
            ("/%", BrokenEscape),
            ("/%+1", BrokenEscape),
        ] {
            assert_eq!(check(path), Err(why), "{path}");
        }
        for path in ["/", "/a/", "/...", "/%25", "/a%20b", "/%ff", "/%2561"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn paths_below_the_dash_are_the_hosts() {
        for path in ["/-", "/-/", "/-/x", "/-/{*rest}"] {
            assert!(is_reserved(path), "{path}");
        }
        for path in ["/", "/-x", "/--/x", "/a/-/x", "/{*rest}"] {
            assert!(!is_reserved(path), "{path}");
        }
    }

    #[test]
    fn a_path_is_decoded_once() {
        assert_eq!(decode("/a%20b%C3%A4+").unwrap(), "/a bä+");
        assert_eq!(decode("/%2561").unwrap(), "/%61");
        assert_eq!(decode("/%ff"), Err(AmbiguousPath::NotUtf8));
        assert!(matches!(decode("/plain"), Ok(Cow::Borrowed(_))));
    }
}
