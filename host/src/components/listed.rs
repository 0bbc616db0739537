//! The routes that a component says it handles, compared with those of its manifest.
//!
//! `routes!` of the Rust SDK writes them to a custom section of the core module that is called `mortise:routes`: one
//! line for each, a method, a blank and the path as the manifest writes it. Any tool may write the same. A component without
//! the section is not checked.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

use super::refusal::Refusal;
use super::scan::malformed;
use crate::domain::manifest::Manifest;

/// The name of the custom section.
const SECTION: &str = "mortise:routes";

/// Routes of one kind that a refusal names.
const MAX_NAMED: usize = 5;

const HINT: &str = "list the same routes in plugin.toml and in `routes!`, with methods and paths written \
    alike, and build again";

/// Refuses a component that handles other routes than its manifest has.
pub fn check_routes(component: &[u8], manifest: &Manifest) -> Result<(), Refusal> {
    let Some(listed) = listed(component)? else {
        return Ok(());
    };
    let asked: BTreeSet<(&str, &str)> = manifest
        .routes
        .iter()
        .map(|route| (route.method.as_str(), route.path.as_str()))
        .collect();
    let without_handler = named(asked.difference(&listed));
    let without_route = named(listed.difference(&asked));
    let message = match (without_handler, without_route) {
        (None, None) => return Ok(()),
        (Some(routes), None) => format!("plugin.toml: route: the plugin has no handler for {routes}"),
        (None, Some(routes)) => {
            format!("plugin.toml: route: the plugin handles {routes}, which the manifest leaves out")
        }
        (Some(routes), Some(others)) => format!(
            "plugin.toml: route: the plugin has no handler for {routes}; it handles {others}, which the \
             manifest leaves out"
        ),
    };
    Err(Refusal::manifest(message, HINT))
}

/// What the sections of a component list; `None` if there are none. Their bytes come from a customer.
fn listed(component: &[u8]) -> Result<Option<BTreeSet<(&str, &str)>>, Refusal> {
    let mut listed = None;
    for payload in Parser::new(0).parse_all(component) {
        let payload = payload.map_err(|error| malformed(error).refusal())?;
        let Payload::CustomSection(section) = payload else {
            continue;
        };
        if section.name() != SECTION {
            continue;
        }
        let unreadable = || {
            Refusal::component(
                format!("custom section `{SECTION}`: each line must be a method, a blank and a path"),
                "build the plugin with the SDK, or leave the section out",
            )
        };
        let text = str::from_utf8(section.data()).map_err(|_| unreadable())?;
        let routes = listed.get_or_insert_with(BTreeSet::new);
        for line in text.lines() {
            routes.insert(line.split_once(' ').ok_or_else(unreadable)?);
        }
    }
    Ok(listed)
}

/// The first routes of some, if there are any.
fn named<'a>(routes: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Option<String> {
    let routes: Vec<String> = routes
        .map(|(method, path)| format!("{method} {path}").escape_debug().to_string())
        .collect();
    match routes.len() {
        0 => None,
        count @ ..=MAX_NAMED => Some(routes[..count].join(", ")),
        count => {
            let first = routes[..MAX_NAMED].join(", ");
            Some(format!("{first} and {} more", count - MAX_NAMED))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut length = content.len();
        let mut section = vec![id];
        while length > 0x7f {
            section.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        section.push(u8::try_from(length).unwrap());
        [section, content.to_vec()].concat()
    }

    fn custom(name: &str, data: &[u8]) -> Vec<u8> {
        let name = [&[u8::try_from(name.len()).unwrap()], name.as_bytes()].concat();
        section(0, &[name, data.to_vec()].concat())
    }

    /// A component around a core module with such sections.
    fn component(sections: &[&[u8]]) -> Vec<u8> {
        let sections: Vec<u8> = sections.iter().flat_map(|data| custom(SECTION, data)).collect();
        [COMPONENT, &section(1, &[MODULE, &sections].concat())].concat()
    }

    fn manifest(routes: &[(&str, &str)]) -> Manifest {
        let route = |(method, path): &(&str, &str)| {
            format!("[[route]]\nmethod = '{method}'\npath = '{path}'\nauth = 'public'\n")
        };
        let routes: String = routes.iter().map(route).collect();
        Manifest::parse(&format!("[plugin]\nname = 'p'\nversion = '1'\n{routes}")).unwrap()
    }

    fn refusal(sections: &[&[u8]], routes: &[(&str, &str)]) -> String {
        check_routes(&component(sections), &manifest(routes))
            .map_or_else(|refusal| refusal.message, |()| String::new())
    }

    #[test]
    fn the_same_routes_in_any_order_are_accepted() {
        let routes = [("GET", "/a"), ("POST", "/b/{id}")];
        assert_eq!(refusal(&[b"POST /b/{id}\nGET /a\n"], &routes), "");
        assert_eq!(refusal(&[b"POST /b/{id}\n", b"GET /a\n"], &routes), "");
    }

    #[test]
    fn a_component_that_lists_nothing_is_not_checked() {
        assert_eq!(refusal(&[], &[("GET", "/a")]), "");
    }

    #[test]
    fn what_only_one_of_them_has_is_named() {
        assert_eq!(
            refusal(&[b"GET /a\n"], &[("GET", "/a"), ("POST", "/a")]),
            "plugin.toml: route: the plugin has no handler for POST /a"
        );
        assert_eq!(
            refusal(&[b"GET /a\nGET /c\n"], &[("GET", "/a")]),
            "plugin.toml: route: the plugin handles GET /c, which the manifest leaves out"
        );
        assert_eq!(
            refusal(&[b"GET /a/{id}\n"], &[("GET", "/a/{name}")]),
            "plugin.toml: route: the plugin has no handler for GET /a/{name}; it handles GET /a/{id}, which the manifest \
             leaves out"
        );
        let many: String = (0..7).map(|number| format!("GET /{number}\n")).collect();
        assert_eq!(
            refusal(&[many.as_bytes()], &[]),
            "plugin.toml: route: the plugin handles GET /0, GET /1, GET /2, GET /3, GET /4 and 2 more, which the manifest \
             leaves out"
        );
    }

    #[test]
    fn a_section_that_cannot_be_read_is_refused() {
        let escapes = refusal(&[b"GET /\x1b[31m\n"], &[]);
        assert!(escapes.contains(r"GET /\u{1b}[31m,"), "{escapes}");
        for section in [b"GET".as_slice(), b"\xff", b"\n"] {
            let refusal = refusal(&[section], &[]);
            assert!(
                refusal.starts_with("custom section `mortise:routes`"),
                "{refusal}"
            );
        }
    }
}
