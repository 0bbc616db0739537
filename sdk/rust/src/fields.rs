//! Look-up and replacement of header fields, and the joining of `cookie` fields.

/// Lower-case names with their values, in order.
pub(crate) type Fields = Vec<(String, String)>;

/// Response headers that may have only one value, in alphabetical order. `cache-control` is
/// included because its directives would contradict each other.
const REPLACING: [&str; 17] = [
    "access-control-allow-credentials",
    "access-control-allow-origin",
    "access-control-max-age",
    "age",
    "cache-control",
    "content-disposition",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expires",
    "last-modified",
    "location",
    "retry-after",
    "server",
];

/// Adds a header to a response. If the header may have only one value, it replaces the existing
/// one.
pub(crate) fn put(fields: &mut Fields, name: &str, value: String) {
    let name = name.to_ascii_lowercase();
    if REPLACING.binary_search(&name.as_str()).is_ok() {
        fields.retain(|(key, _)| *key != name);
    }
    fields.push((name, value));
}

/// The first field with this name, in any case.
pub(crate) fn first<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    all(fields, name).next()
}

/// Every field with this name, in any case.
pub(crate) fn all<'a>(fields: &'a [(String, String)], name: &str) -> impl Iterator<Item = &'a str> {
    fields
        .iter()
        .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

/// Joins several `cookie` fields of a request. HTTP/2 sends a field for each cookie and HTTP/1.1
/// one for all; plugins see no difference (RFC 9113, section 8.2.3).
pub(crate) fn join_cookies(fields: &mut Fields) {
    let is_cookie = |(name, _): &(String, String)| name == "cookie";
    if fields.iter().filter(|field| is_cookie(field)).count() < 2 {
        return;
    }
    let joined = all(fields, "cookie").collect::<Vec<_>>().join("; ");
    let mut joined = Some(joined);
    fields.retain_mut(|field| {
        if !is_cookie(field) {
            return true;
        }
        match joined.take() {
            Some(all) => {
                field.1 = all;
                true
            }
            None => false,
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(given: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in given {
            put(&mut fields, name, (*value).to_owned());
        }
        fields
    }

    #[test]
    fn the_names_are_sorted_for_the_search() {
        assert!(REPLACING.is_sorted());
    }

    #[test]
    fn a_field_of_one_value_replaces_and_any_other_is_added() {
        let given = [
            ("Content-Type", "text/plain"),
            ("set-cookie", "a"),
            ("link", "<a>"),
            ("content-type", "text/csv"),
            ("Set-Cookie", "b"),
            ("link", "<b>"),
        ];
        let expected = [
            ("set-cookie", "a"),
            ("link", "<a>"),
            ("content-type", "text/csv"),
            ("set-cookie", "b"),
            ("link", "<b>"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(fields(&given), expected);
    }

    #[test]
    fn several_cookie_fields_become_one_in_the_place_of_the_first() {
        let mut given: Fields = [
            ("cookie", "a=1"),
            ("accept", "*/*"),
            ("cookie", "b=2"),
            ("cookie", "c=3"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        join_cookies(&mut given);
        let expected = [("cookie", "a=1; b=2; c=3"), ("accept", "*/*")];
        assert_eq!(
            given,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }
}
