//! Compares the routes, functions and jobs that a component handles with those of its manifest.
//!
//! `routes!` of the Rust SDK writes its routes to the custom section `mortise:routes` of the core
//! module. Each line has a method, a space and the path as in the manifest. `functions!` writes
//! names of functions to `mortise:functions`, one per line, and `jobs!` names of jobs to
//! `mortise:jobs`. Other tools may do the same. Without a section, nothing is compared.

use std::collections::BTreeSet;

use wasmparser::{Parser, Payload};

use super::refusal::Refusal;
use super::scan::malformed;
use crate::domain::manifest::Manifest;

/// Names of the custom sections.
const ROUTES: &str = "mortise:routes";
const FUNCTIONS: &str = "mortise:functions";
const JOBS: &str = "mortise:jobs";

/// The most routes, functions or jobs that a refusal names.
const MAX_NAMED: usize = 5;

/// The kind of entries in a section.
struct Kind {
    /// Name of the table in the manifest.
    table: &'static str,
    hint: &'static str,
}

const OF_ROUTES: Kind = Kind {
    table: "route",
    hint: "list the same routes in plugin.toml and in `routes!`, with methods and paths written alike, and build again",
};

const OF_FUNCTIONS: Kind = Kind {
    table: "function",
    hint: "list the same functions in plugin.toml and in `functions!`, and build again",
};

const OF_JOBS: Kind = Kind {
    table: "job",
    hint: "list the same jobs in plugin.toml and in `jobs!`, and build again",
};

/// Refuses a component that handles other routes, functions or jobs than its manifest declares.
pub fn check_listed(component: &[u8], manifest: &Manifest) -> Result<(), Refusal> {
    let listed = Listed::of(component)?;
    let routes = manifest.routes.iter();
    let routes = routes.map(|route| format!("{} {}", route.method, route.path));
    OF_ROUTES.compare(listed.routes, routes.collect())?;
    let functions = manifest.functions.iter();
    let functions = functions.map(|function| function.name.to_string());
    OF_FUNCTIONS.compare(listed.functions, functions.collect())?;
    let jobs = manifest.jobs.iter();
    let jobs = jobs.map(|job| job.name.to_string());
    OF_JOBS.compare(listed.jobs, jobs.collect())
}

impl Kind {
    fn compare(&self, listed: Option<BTreeSet<&str>>, asked: BTreeSet<String>) -> Result<(), Refusal> {
        let Some(listed) = listed else {
            return Ok(());
        };
        let asked: BTreeSet<&str> = asked.iter().map(String::as_str).collect();
        let without_handler = named(asked.difference(&listed));
        let unasked = named(listed.difference(&asked));
        let problem = match (without_handler, unasked) {
            (None, None) => return Ok(()),
            (Some(asked), None) => format!("the plugin has no handler for {asked}"),
            (None, Some(others)) => format!("the plugin handles {others}, which the manifest leaves out"),
            (Some(asked), Some(others)) => format!(
                "the plugin has no handler for {asked}; it handles {others}, which the manifest leaves out"
            ),
        };
        Err(Refusal::manifest(
            format!("plugin.toml: {}: {problem}", self.table),
            self.hint,
        ))
    }
}

/// The entries of a component's sections; `None` without a section. The bytes come from a customer.
#[derive(Default)]
struct Listed<'a> {
    routes: Option<BTreeSet<&'a str>>,
    functions: Option<BTreeSet<&'a str>>,
    jobs: Option<BTreeSet<&'a str>>,
}

impl<'a> Listed<'a> {
    fn of(component: &'a [u8]) -> Result<Self, Refusal> {
        let mut listed = Self::default();
        for payload in Parser::new(0).parse_all(component) {
            let payload = payload.map_err(|error| malformed(error).refusal())?;
            let Payload::CustomSection(section) = payload else {
                continue;
            };
            let (lines, form, is_line): (_, _, fn(&str) -> bool) = match section.name() {
                ROUTES => (&mut listed.routes, "a method, a blank and a path", |line| {
                    line.contains(' ')
                }),
                FUNCTIONS => (&mut listed.functions, "the name of a function", |line| {
                    !line.is_empty()
                }),
                JOBS => (&mut listed.jobs, "the name of a job", |line| !line.is_empty()),
                _ => continue,
            };
            let unreadable = || {
                Refusal::component(
                    format!("custom section `{}`: each line must be {form}", section.name()),
                    "build the plugin with the SDK, or leave the section out",
                )
            };
            let text = str::from_utf8(section.data()).map_err(|_| unreadable())?;
            let lines = lines.get_or_insert_with(BTreeSet::new);
            for line in text.lines() {
                if !is_line(line) {
                    return Err(unreadable());
                }
                lines.insert(line);
            }
        }
        Ok(listed)
    }
}

/// The first of these lines, if there are any.
fn named<'a>(lines: impl Iterator<Item = &'a &'a str>) -> Option<String> {
    let lines: Vec<String> = lines.map(|line| line.escape_debug().to_string()).collect();
    match lines.len() {
        0 => None,
        count @ ..=MAX_NAMED => Some(lines[..count].join(", ")),
        count => {
            let first = lines[..MAX_NAMED].join(", ");
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

    /// A component with a core module that has these sections.
    fn component(sections: &[&[u8]]) -> Vec<u8> {
        let sections: Vec<u8> = sections.iter().flat_map(|data| custom(ROUTES, data)).collect();
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
        check_listed(&component(sections), &manifest(routes))
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

    #[test]
    fn functions_are_compared_in_the_same_way() {
        let function = "[plugin]\nname = 'p'\nversion = '1'\n[[function]]\nname = 'a'\nauth = 'public'\n\
                        input = 'i.json'\noutput = 'o.json'\n";
        let asked = Manifest::parse(function).unwrap();
        let with = |data: &[u8]| {
            let sections = custom(FUNCTIONS, data);
            let component = [COMPONENT, &section(1, &[MODULE, &sections].concat())].concat();
            check_listed(&component, &asked).map_or_else(|refusal| refusal.message, |()| String::new())
        };
        assert_eq!(with(b"a\n"), "");
        assert_eq!(
            with(b"b\n"),
            "plugin.toml: function: the plugin has no handler for a; it handles b, which the manifest leaves out"
        );
        assert!(with(b"\n").starts_with("custom section `mortise:functions`"));
    }

    #[test]
    fn jobs_are_compared_in_the_same_way() {
        let job = "[plugin]\nname = 'p'\nversion = '1'\n[[job]]\nname = 'a'\n";
        let asked = Manifest::parse(job).unwrap();
        let with = |data: &[u8]| {
            let sections = custom(JOBS, data);
            let component = [COMPONENT, &section(1, &[MODULE, &sections].concat())].concat();
            check_listed(&component, &asked).map_or_else(|refusal| refusal.message, |()| String::new())
        };
        assert_eq!(with(b"a\n"), "");
        assert_eq!(
            with(b"a\nb\n"),
            "plugin.toml: job: the plugin handles b, which the manifest leaves out"
        );
        assert!(with(b"\n").starts_with("custom section `mortise:jobs`"));
    }
}
