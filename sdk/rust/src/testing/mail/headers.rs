//! Headers that a plugin adds to a mail, checked as the host checks them.

use crate::email::Error;

/// The most headers of a mail, and bytes of a name and of a value.
const MAX_HEADERS: usize = 20;
const MAX_NAME: usize = 70;
const MAX_VALUE: usize = 2_000;

/// Headers that the host writes itself, or that servers add.
const RESERVED: [&str; 18] = [
    "bcc",
    "cc",
    "date",
    "delivered-to",
    "dkim-signature",
    "from",
    "list-unsubscribe-post",
    "message-id",
    "mime-version",
    "received",
    "reply-to",
    "return-path",
    "sender",
    "status",
    "subject",
    "to",
    "x-envelope-to",
    "x-original-to",
];

/// Prefixes of such headers.
const RESERVED_PREFIXES: [&str; 3] = ["content-", "resent-", "arc-"];

/// Whether the mail asks for the host's link with which its recipient unsubscribes.
pub(super) fn check(headers: &[(String, String)]) -> Result<bool, Error> {
    let invalid = |why: String| Err(Error::Invalid(why));
    if headers.len() > MAX_HEADERS {
        return invalid(format!(
            "the mail has {} headers of its own, and {MAX_HEADERS} is the most",
            headers.len()
        ));
    }
    let mut is_one_click = false;
    for (index, (name, value)) in headers.iter().enumerate() {
        let shown: String = name.chars().take(80).collect();
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_token) {
            return invalid(format!(
                "`{shown}` is no name of a header: it has 1 to {MAX_NAME} letters and digits of ASCII, `-` and `_`"
            ));
        }
        let lower = name.to_ascii_lowercase();
        let has_prefix = RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
        if has_prefix || RESERVED.contains(&lower.as_str()) {
            return invalid(format!(
                "the host makes the header `{lower}` itself; use the parts of the mail that stand for it"
            ));
        }
        if value.len() > MAX_VALUE {
            return invalid(format!(
                "the header `{name}` has {} bytes, and {MAX_VALUE} is the most",
                value.len()
            ));
        }
        if value.chars().any(char::is_control) {
            return invalid(format!(
                "the header `{name}` has a line break or another control character"
            ));
        }
        if lower == "list-unsubscribe" {
            is_one_click = value.trim().eq_ignore_ascii_case("one-click");
            if !is_one_click && !value.split(',').all(is_url) {
                return invalid(
                    "`list-unsubscribe` is `one-click`, for a URL of the host, or `<https://…>` or `<mailto:…>`"
                        .to_owned(),
                );
            }
        } else if headers[..index]
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name))
        {
            return invalid(format!("the mail has the header `{shown}` twice"));
        }
    }
    Ok(is_one_click)
}

/// Whether the text is a URL in angle brackets.
fn is_url(part: &str) -> bool {
    let url = part
        .trim()
        .strip_prefix('<')
        .and_then(|url| url.strip_suffix('>'));
    url.is_some_and(|url| {
        let is_known = url.starts_with("https://") || url.starts_with("mailto:");
        is_known && url.is_ascii() && !url.contains([' ', '<', '>', ','])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, value: &str) -> Result<bool, Error> {
        check(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn no_header_brings_in_another_or_takes_the_place_of_one_of_the_host() {
        assert_eq!(checked("x-campaign", "spring"), Ok(false));
        assert_eq!(checked("List-Unsubscribe", "one-click"), Ok(true));
        assert_eq!(
            checked("list-unsubscribe", "<https://a.example/u>, <mailto:u@a.example>"),
            Ok(false)
        );
        for (name, value) in [
            ("Bcc", "eve@example.com"),
            ("content-type", "text/html"),
            ("x a", "b"),
            ("x-a\r\nBcc", "b"),
            ("x-a", "b\r\nBcc: eve@example.com"),
            ("list-unsubscribe", "https://a.example/u"),
        ] {
            assert!(checked(name, value).is_err(), "{name}: {value}");
        }
        let twice = [
            ("x-a".to_owned(), "1".to_owned()),
            ("X-A".to_owned(), "2".to_owned()),
        ];
        assert!(check(&twice).is_err());
    }
}
