//! Checks the headers that a guest adds to a mail. All of them are controlled by the guest: none
//! may bring in a further header, and none may take the place of one that the host makes.

use super::NotSent;
use crate::domain::mail::Unsubscribe;

/// The most headers that a guest adds.
const MOST: usize = 20;

/// The most bytes of the name of a header.
const NAME_BYTES: usize = 70;

/// The most bytes of the value of a header.
const VALUE_BYTES: usize = 2_000;

/// The most characters of the guest's text in an error.
const SHOWN: usize = 80;

/// The value with which a guest asks the host for a URL.
const ONE_CLICK: &str = "one-click";

/// Headers that the host makes from the other parts of a mail, or that servers add.
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
    "x-original-to",
    "x-envelope-to",
];

/// Prefixes of such headers.
const RESERVED_PREFIXES: [&str; 3] = ["content-", "resent-", "arc-"];

/// Returns the headers that the message gets, and how its receiver unsubscribes.
pub(super) fn check(headers: Vec<(String, String)>) -> Result<(Vec<(String, String)>, Unsubscribe), NotSent> {
    if headers.len() > MOST {
        return Err(NotSent::Invalid(format!(
            "the mail has {} headers of its own, and {MOST} is the most",
            headers.len()
        )));
    }
    let (mut kept, mut unsubscribe) = (
        Vec::<(String, String)>::with_capacity(headers.len()),
        Unsubscribe::No,
    );
    for (name, value) in headers {
        check_name(&name)?;
        check_value(&name, &value)?;
        if name.eq_ignore_ascii_case("list-unsubscribe") {
            unsubscribe = read_unsubscribe(&value)?;
            continue;
        }
        if kept.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(NotSent::Invalid(format!(
                "the mail has the header `{}` twice",
                shown(&name)
            )));
        }
        kept.push((name, value));
    }
    Ok((kept, unsubscribe))
}

fn check_name(name: &str) -> Result<(), NotSent> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(is_token) {
        return Err(NotSent::Invalid(format!(
            "`{}` is no name of a header: it has 1 to {NAME_BYTES} letters and digits of ASCII, `-` and `_`",
            shown(name)
        )));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str()) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix))
    {
        return Err(NotSent::Invalid(format!(
            "the host makes the header `{lower}` itself; use the parts of the mail that stand for it"
        )));
    }
    Ok(())
}

fn check_value(name: &str, value: &str) -> Result<(), NotSent> {
    if value.len() > VALUE_BYTES {
        return Err(NotSent::Invalid(format!(
            "the header `{name}` has {} bytes, and {VALUE_BYTES} is the most",
            value.len()
        )));
    }
    match value.chars().any(char::is_control) {
        true => Err(NotSent::Invalid(format!(
            "the header `{name}` has a line break or another control character"
        ))),
        false => Ok(()),
    }
}

/// `one-click`, or one or several URLs in angle brackets.
fn read_unsubscribe(value: &str) -> Result<Unsubscribe, NotSent> {
    let value = value.trim();
    if value.eq_ignore_ascii_case(ONE_CLICK) {
        return Ok(Unsubscribe::AtHost);
    }
    let is_url = |part: &str| {
        let url = part
            .trim()
            .strip_prefix('<')
            .and_then(|url| url.strip_suffix('>'));
        url.is_some_and(|url| {
            (url.starts_with("https://") || url.starts_with("mailto:"))
                && !url.contains([' ', '<', '>', ','])
                && url.is_ascii()
        })
    };
    match value.split(',').all(is_url) {
        true => Ok(Unsubscribe::At(value.to_owned())),
        false => Err(NotSent::Invalid(
            "`list-unsubscribe` is `one-click`, for a URL of the host, or `<https://…>` or `<mailto:…>`"
                .to_owned(),
        )),
    }
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<(Vec<(String, String)>, Unsubscribe), NotSent> {
        check(vec![(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn no_header_brings_in_another_one() {
        for (name, value) in [
            ("x-a", "b\r\nBcc: eve@example.com"),
            ("x-a", "b\nBcc: eve@example.com"),
            ("x-a", "b\rc"),
            ("x-a", "b\0c"),
            ("x-a\r\nbcc", "eve@example.com"),
            ("x-a: b", "c"),
            ("x a", "c"),
            ("", "c"),
            ("ü", "c"),
        ] {
            let error = one(name, value).unwrap_err().to_string();
            assert!(!error.contains(['\r', '\n', '\0']), "{error:?}");
        }
        let many = (0..=MOST).map(|index| (format!("x-{index}"), String::new()));
        assert!(check(many.collect()).is_err());
        assert!(one("x-a", &"v".repeat(VALUE_BYTES + 1)).is_err());
        assert!(one(&"n".repeat(NAME_BYTES + 1), "v").is_err());
    }

    #[test]
    fn headers_of_the_host_are_the_hosts() {
        for name in [
            "Bcc",
            "to",
            "SUBJECT",
            "content-type",
            "Resent-To",
            "List-Unsubscribe-Post",
        ] {
            let error = one(name, "x").unwrap_err().to_string();
            assert!(error.contains("the host makes"), "{error}");
        }
        let twice = vec![
            ("X-A".to_owned(), "1".to_owned()),
            ("x-a".to_owned(), "2".to_owned()),
        ];
        assert!(check(twice).is_err());
        let (kept, unsubscribe) = one("X-Order", "42 ü").unwrap();
        assert_eq!(kept, [("X-Order".to_owned(), "42 ü".to_owned())]);
        assert_eq!(unsubscribe, Unsubscribe::No);
    }

    #[test]
    fn a_receiver_unsubscribes_at_the_host_or_where_the_plugin_says() {
        let (kept, unsubscribe) = one("List-Unsubscribe", "one-click").unwrap();
        assert_eq!((kept.len(), unsubscribe), (0, Unsubscribe::AtHost));
        let urls = "<https://shop.example/u?x=1>, <mailto:u@shop.example>";
        let (_, unsubscribe) = one("list-unsubscribe", urls).unwrap();
        assert_eq!(unsubscribe, Unsubscribe::At(urls.to_owned()));
        for wrong in [
            "",
            "https://a.example",
            "<http://a.example>",
            "<https://a.example> x",
            "<javascript:x>",
        ] {
            assert!(one("list-unsubscribe", wrong).is_err(), "{wrong}");
        }
    }
}
