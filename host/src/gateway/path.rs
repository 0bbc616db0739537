//! Paths, normalised once: what is routed is what is authenticated is what the plugin sees.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::http::problem::{Code, Problem};

/// A path of the public API, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct PluginPath<'a> {
    /// The first segment.
    pub tenant: &'a str,
    /// The second segment.
    pub plugin: &'a str,
    /// What follows, percent-encoded as it was received, starting with `/`.
    pub rest: &'a str,
}

/// Takes a path apart. A path that several servers could read in several ways is refused: `//`, an encoded slash or
/// backslash, a dot segment, encoded or not, an encoded NUL, an escape that is none.
pub fn split(path: &str) -> Result<PluginPath<'_>, Problem> {
    check(path).map_err(|what| Problem::new(Code::InvalidRequest, format!("the path has {what}")))?;
    let nothing = || {
        Problem::new(
            Code::NotFound,
            "the path is not of the form `/{tenant}/{plugin}/…`",
        )
    };
    let (tenant, rest) = path[1..].split_once('/').ok_or_else(nothing)?;
    let (plugin, rest) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    if tenant.is_empty() || plugin.is_empty() {
        return Err(nothing());
    }
    Ok(PluginPath { tenant, plugin, rest })
}

/// The text that a percent-encoded piece of a checked path stands for.
pub fn decode(piece: &str) -> Result<String, Problem> {
    percent_decode_str(piece)
        .decode_utf8()
        .map(Cow::into_owned)
        .map_err(|_| Problem::new(Code::InvalidRequest, "the decoded path is not UTF-8"))
}

fn check(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("no leading `/`");
    }
    if path.contains("//") {
        return Err("an empty segment (`//`)");
    }
    for segment in path[1..].split('/') {
        let mut dots_only = !segment.is_empty();
        let mut length = 0;
        let mut bytes = segment.bytes();
        while let Some(mut byte) = bytes.next() {
            if byte == b'%' {
                byte = escaped(&mut bytes).ok_or("a broken percent escape")?;
                if matches!(byte, b'/' | b'\\' | 0) {
                    return Err("an encoded slash, backslash or NUL");
                }
            } else if byte == b'\\' {
                return Err("a backslash");
            }
            dots_only &= byte == b'.';
            length += 1;
        }
        if dots_only && length <= 2 {
            return Err("a dot segment");
        }
    }
    Ok(())
}

/// The byte that the two hexadecimal digits after a `%` stand for.
fn escaped(bytes: &mut std::str::Bytes<'_>) -> Option<u8> {
    let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
    let (high, low) = (digit()?, digit()?);
    u8::try_from(high * 16 + low).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_tenant_a_plugin_and_a_rest() {
        for (path, parts) in [
            ("/acme/shop", ("acme", "shop", "/")),
            ("/acme/shop/", ("acme", "shop", "/")),
            ("/acme/shop/a%20b/c/", ("acme", "shop", "/a%20b/c/")),
            ("/acme/shop/...", ("acme", "shop", "/...")),
        ] {
            let split = split(path).unwrap();
            assert_eq!((split.tenant, split.plugin, split.rest), parts);
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in [
            "/acme//shop",
            "/acme/shop/..",
            "/acme/shop/../x",
            "/acme/shop/%2e%2E/x",
            "/acme/shop/.%2e",
            "/acme/./shop",
            "/acme/shop/a%2fb",
            "/acme/shop/a%5Cb",
            "/acme/shop/a\\b",
            "/acme/shop/%00",
            "/acme/shop/%zz",
            "/acme/shop/%2",
            "/acme/shop/x//",
            "//acme/shop",
        ] {
            assert_eq!(split(path).unwrap_err().code(), Code::InvalidRequest, "{path}");
        }
        for path in ["/", "/acme", "/acme/"] {
            assert_eq!(split(path).unwrap_err().code(), Code::NotFound, "{path}");
        }
    }

    #[test]
    fn captures_are_decoded() {
        assert_eq!(decode("a%20b%C3%A4+").unwrap(), "a bä+");
        assert!(decode("%ff").is_err());
    }
}
