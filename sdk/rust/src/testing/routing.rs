//! Matches a path with the routes, as the host does.

use crate::Route;

pub(super) struct Match {
    pub route: Route,
    pub params: Vec<(String, String)>,
}

/// The kind of a pattern's segment, in the order of precedence.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Text,
    Parameter,
    Tail,
}

/// The most specific matching route: text before a parameter before a tail, from left to right.
pub(super) fn find(routes: &[Route], method: &str, path: &str) -> Option<Match> {
    let fitting = routes.iter().filter(|route| route.method == method);
    let matches = fitting.filter_map(|route| {
        Some(Match {
            route: *route,
            params: capture(route.path, path)?,
        })
    });
    matches.min_by_key(|found| found.route.path.split('/').map(kind).collect::<Vec<_>>())
}

/// The methods of the routes that match a path, in the order of the list.
pub(super) fn methods(routes: &[Route], path: &str) -> Vec<&'static str> {
    let mut methods = Vec::new();
    for route in routes {
        if !methods.contains(&route.method) && capture(route.path, path).is_some() {
            methods.push(route.method);
        }
    }
    methods
}

/// The percent-decoded parameters that a pattern captures; `None` if the path does not match.
fn capture(pattern: &str, path: &str) -> Option<Vec<(String, String)>> {
    let mut params = Vec::new();
    let mut rest = path.strip_prefix('/')?;
    let mut segments = pattern.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        if let Some(name) = segment.strip_prefix("{*").and_then(|name| name.strip_suffix('}')) {
            params.push((name.to_owned(), percent_decode(rest)));
            return (!rest.is_empty()).then_some(params);
        }
        let (value, after) = match rest.split_once('/') {
            Some((value, after)) => (value, Some(after)),
            None => (rest, None),
        };
        if after.is_some() != segments.peek().is_some() {
            return None;
        }
        match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(_) if value.is_empty() => return None,
            Some(name) => params.push((name.to_owned(), percent_decode(value))),
            None if value != segment => return None,
            None => {}
        }
        rest = after.unwrap_or("");
    }
    Some(params)
}

fn kind(segment: &str) -> Kind {
    if segment.starts_with("{*") {
        Kind::Tail
    } else if segment.starts_with('{') {
        Kind::Parameter
    } else {
        Kind::Text
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escape = match after {
            [high, low, ..] if *first == b'%' => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                bytes.push(high << 4 | low);
                rest = &after[2..];
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    (byte as char)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &[Route] = &[
        Route {
            method: "GET",
            path: "/orders/{id}",
        },
        Route {
            method: "GET",
            path: "/orders/latest",
        },
        Route {
            method: "GET",
            path: "/files/{*rest}",
        },
        Route {
            method: "GET",
            path: "/orders/{id}/lines/{line}",
        },
    ];

    fn found(path: &str) -> Option<(&'static str, Vec<String>)> {
        let found = find(ROUTES, "GET", path)?;
        Some((
            found.route.path,
            found.params.into_iter().map(|(_, value)| value).collect(),
        ))
    }

    #[test]
    fn parameters_are_captured_and_decoded() {
        assert_eq!(found("/orders/a%20b"), Some(("/orders/{id}", vec!["a b".into()])));
        assert_eq!(
            found("/orders/7/lines/2"),
            Some(("/orders/{id}/lines/{line}", vec!["7".into(), "2".into()]))
        );
        assert_eq!(
            found("/files/a/b.txt"),
            Some(("/files/{*rest}", vec!["a/b.txt".into()]))
        );
    }

    #[test]
    fn text_goes_before_a_parameter() {
        assert_eq!(found("/orders/latest"), Some(("/orders/latest", vec![])));
    }

    #[test]
    fn trailing_slashes_empty_segments_and_other_methods_do_not_fit() {
        assert_eq!(found("/orders/7/"), None);
        assert_eq!(found("/orders/"), None);
        assert_eq!(found("/files/"), None);
        assert!(find(ROUTES, "POST", "/orders/7").is_none());
    }
}
