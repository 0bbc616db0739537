//! Splits and decodes the path of a request into tenant, plugin and route path.

use std::borrow::Cow;

use crate::domain::path::{AmbiguousPath, check, decode};
use crate::domain::problem::Code;
use crate::http::problem::Problem;

/// A path of the public API, split into its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct PluginPath<'a> {
    /// The first segment, decoded.
    pub tenant: Cow<'a, str>,
    /// The second segment, decoded.
    pub plugin: Cow<'a, str>,
    /// The rest, decoded, starting with `/`. Routes are matched against it.
    pub rest: Cow<'a, str>,
    /// The rest as it was received.
    pub received: &'a str,
}

/// Splits a path. It rejects a path that servers could interpret differently: `//`, an encoded
/// slash or backslash, a dot segment, encoded or not, an encoded NUL, or an escape that is
/// malformed or not UTF-8.
pub fn split(path: &str) -> Result<PluginPath<'_>, Problem> {
    check(path).map_err(ambiguous)?;
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
    Ok(PluginPath {
        tenant: decode(tenant).map_err(ambiguous)?,
        plugin: decode(plugin).map_err(ambiguous)?,
        rest: decode(rest).map_err(ambiguous)?,
        received: rest,
    })
}

fn ambiguous(path: AmbiguousPath) -> Problem {
    Problem::new(Code::InvalidRequest, format!("the path has {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_tenant_a_plugin_and_a_rest() {
        for (path, parts) in [
            ("/acme/shop", ("acme", "shop", "/", "/")),
            ("/acme/shop/", ("acme", "shop", "/", "/")),
            ("/acme/shop/a%20b/c/", ("acme", "shop", "/a b/c/", "/a%20b/c/")),
            ("/%61cme/%73hop/%2561", ("acme", "shop", "/%61", "/%2561")),
            ("/acme/shop/...", ("acme", "shop", "/...", "/...")),
        ] {
            let split = split(path).unwrap();
            assert_eq!(
                (&*split.tenant, &*split.plugin, &*split.rest, split.received),
                parts
            );
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for path in ["/acme//shop", "/acme/shop/..", "/acme/shop/%ff", "/%ff/shop/x"] {
            assert_eq!(split(path).unwrap_err().code(), Code::InvalidRequest, "{path}");
        }
        for path in ["/", "/acme", "/acme/"] {
            assert_eq!(split(path).unwrap_err().code(), Code::NotFound, "{path}");
        }
    }
}
