//! Addresses, read as the host reads them. Domains that are not ASCII are not converted.

use crate::email::Error;

/// The most bytes of the part before the `@`, and of a name.
const MAX_LOCAL: usize = 64;
const MAX_NAME: usize = 200;

/// The most bytes of an address.
const MAX_ADDRESS: usize = 254;

/// An address, perhaps written with a name before it: `Ada <ada@example.com>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mailbox {
    /// The address, with its domain in lower case.
    pub address: String,
}

impl Mailbox {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some((name, address)) = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')) else {
            return parse_address(text);
        };
        let name = name.trim();
        let name = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'))
            .unwrap_or(name);
        let is_clean = |c: char| !c.is_control() && !matches!(c, '"' | '<' | '>' | '\\');
        if name.len() > MAX_NAME || !name.chars().all(is_clean) {
            return Err(invalid(
                text,
                "the name before `<` has at most 200 bytes, and no quotes, brackets or control characters",
            ));
        }
        parse_address(address)
    }

    /// Whether a mail from this address is allowed by `sender`: an address, or `@example.com`.
    pub fn is_covered_by(&self, sender: &str) -> bool {
        match sender.strip_prefix('@') {
            Some(domain) => {
                let own = self.address.rsplit_once('@').map_or("", |(_, domain)| domain);
                own.eq_ignore_ascii_case(domain)
            }
            None => self.address.eq_ignore_ascii_case(sender),
        }
    }
}

fn parse_address(text: &str) -> Result<Mailbox, Error> {
    let (local, domain) = text
        .rsplit_once('@')
        .ok_or_else(|| invalid(text, "it has no `@`; write name@example.com"))?;
    if local.is_empty() || local.len() > MAX_LOCAL {
        return Err(invalid(text, "the part before the `@` has 1 to 64 bytes"));
    }
    if !local.split('.').all(is_atom) {
        return Err(invalid(
            text,
            "before the `@` are letters and digits of ASCII, and signs such as `.`, `-`, `_` and `+`",
        ));
    }
    if !is_domain(domain) {
        return Err(invalid(
            text,
            "after the `@` is the name of a domain, such as example.com",
        ));
    }
    let address = format!("{local}@{}", domain.to_lowercase());
    match address.len() > MAX_ADDRESS {
        true => Err(invalid(text, "it has more than 254 bytes")),
        false => Ok(Mailbox { address }),
    }
}

fn is_atom(text: &str) -> bool {
    let is_sign = |byte: u8| b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = |c: char| c.is_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(is_plain)
    };
    // The host reads a name with a number at its end as an IP address, or refuses it.
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 253 && text.split('.').all(is_label) && !is_number
}

fn invalid(text: &str, why: &str) -> Error {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    Error::Invalid(format!("`{shown}` is no mail address: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_from_other_texts() {
        for text in [
            "ada@example.com",
            "Ada <ada@example.com>",
            "\"L, Ada\" <ada@EXAMPLE.com>",
        ] {
            assert_eq!(
                Mailbox::parse(text).map(|read| read.address).as_deref(),
                Ok("ada@example.com")
            );
        }
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@127.0.0.1",
            "ada..l@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "Ada\r\nBcc: eve@example.com <ada@example.com>",
            "ada@example.com, eve@example.com",
            "Ada <ada>",
        ] {
            let error = Mailbox::parse(text).unwrap_err().to_string();
            assert!(!error.contains(['\r', '\n']), "{error:?}");
        }
    }

    #[test]
    fn a_sender_is_an_address_or_a_domain() {
        let mailbox = Mailbox::parse("Shop@Example.com").expect("it is an address");
        assert!(mailbox.is_covered_by("shop@example.com") && mailbox.is_covered_by("@example.com"));
        assert!(!mailbox.is_covered_by("@sub.example.com") && !mailbox.is_covered_by("a@example.com"));
    }
}
