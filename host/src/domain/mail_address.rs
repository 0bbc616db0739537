//! Addresses of mail: of people, and of what a plugin may send from.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use url::Host;

/// The most bytes of the part before the `@`, by RFC 5321.
const LOCAL_BYTES: usize = 64;

/// The most bytes of an address.
const ADDRESS_BYTES: usize = 254;

/// The most bytes of the name of a mailbox.
const NAME_BYTES: usize = 200;

/// The most characters of a wrong text in an error.
const SHOWN: usize = 80;

/// A text that is no address. The message is for the author of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no mail address: {why}")]
pub struct InvalidAddress {
    text: String,
    why: &'static str,
}

/// An address such as `ada@example.com`. The domain is in lower case and in ASCII.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String)]
pub struct Address(Arc<str>);

/// An address with the name that is shown beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The name.
    pub name: Option<String>,
    /// The address.
    pub address: Address,
}

/// What a plugin may send from: an address, or all addresses of a domain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sender {
    /// One address.
    Address(Address),
    /// All addresses of a domain, written `@example.com`.
    Domain(String),
}

impl Address {
    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl Sender {
    /// Whether a mail may come from this address.
    pub fn covers(&self, address: &Address) -> bool {
        match self {
            Self::Address(own) => is_same(own, address),
            Self::Domain(domain) => address.domain() == domain,
        }
    }

    /// Whether this covers everything that `other` covers.
    pub fn covers_sender(&self, other: &Self) -> bool {
        match other {
            Self::Address(address) => self.covers(address),
            Self::Domain(_) => self == other,
        }
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<&Address> {
        match self {
            Self::Address(address) => Some(address),
            Self::Domain(_) => None,
        }
    }
}

/// No mail server in use tells addresses apart by the case of their letters.
fn is_same(one: &Address, other: &Address) -> bool {
    one.0.eq_ignore_ascii_case(&other.0)
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |why| InvalidAddress {
            text: text.chars().filter(|c| !c.is_control()).take(SHOWN).collect(),
            why,
        };
        let (local, domain) = text
            .rsplit_once('@')
            .ok_or_else(|| invalid("it has no `@`; write name@example.com"))?;
        if local.is_empty() || local.len() > LOCAL_BYTES {
            return Err(invalid("the part before the `@` has 1 to 64 bytes"));
        }
        if !local.split('.').all(is_atom) {
            return Err(invalid(
                "before the `@` are letters and digits of ASCII, and signs such as `.`, `-`, `_` and `+`",
            ));
        }
        let domain = ascii_domain(domain)
            .ok_or_else(|| invalid("after the `@` is the name of a domain, such as example.com"))?;
        let address = format!("{local}@{domain}");
        match address.len() > ADDRESS_BYTES {
            true => Err(invalid("it has more than 254 bytes")),
            false => Ok(Self(address.into())),
        }
    }
}

/// A part of a local part: what needs no quotes.
fn is_atom(text: &str) -> bool {
    let is_sign = |byte: u8| b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// The domain in lower case and in ASCII; `None` if it is none.
pub fn ascii_domain(text: &str) -> Option<String> {
    let Ok(Host::Domain(domain)) = Host::parse(text) else {
        return None;
    };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    (domain.len() <= 253 && domain.split('.').all(is_label)).then_some(domain)
}

impl FromStr for Mailbox {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text.strip_suffix('>').and_then(|text| text.rsplit_once('<'));
        let Some((name, address)) = named else {
            let address: Address = text.parse()?;
            return Ok(Self { name: None, address });
        };
        let name = name.trim();
        let name = name
            .strip_prefix('"')
            .and_then(|name| name.strip_suffix('"'))
            .unwrap_or(name);
        let is_clean = |c: char| !c.is_control() && !matches!(c, '"' | '<' | '>' | '\\');
        if name.len() > NAME_BYTES || !name.chars().all(is_clean) {
            return Err(InvalidAddress {
                text: text.chars().filter(|c| !c.is_control()).take(SHOWN).collect(),
                why: "the name before `<` has at most 200 bytes, and no quotes, brackets or control characters",
            });
        }
        Ok(Self {
            name: (!name.is_empty()).then(|| name.to_owned()),
            address: address.parse()?,
        })
    }
}

impl FromStr for Sender {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some(domain) = text.strip_prefix('@') else {
            return text.parse().map(Self::Address);
        };
        ascii_domain(domain)
            .map(Self::Domain)
            .ok_or_else(|| InvalidAddress {
                text: text.chars().filter(|c| !c.is_control()).take(SHOWN).collect(),
                why: "after the `@` is the name of a domain, such as @example.com",
            })
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Sender {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sender> for String {
    fn from(sender: Sender) -> Self {
        sender.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(formatter),
            Self::Domain(domain) => write!(formatter, "@{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Result<String, String> {
        let parsed = text.parse::<Address>();
        parsed
            .map(|address| address.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn an_address_has_a_local_part_and_a_domain() {
        for (text, wanted) in [
            ("ada@example.com", "ada@example.com"),
            ("Ada.L+shop@EXAMPLE.com", "Ada.L+shop@example.com"),
            ("ada@bücher.example", "ada@xn--bcher-kva.example"),
            ("ada@localhost", "ada@localhost"),
            ("o'hara@mail.example.com", "o'hara@mail.example.com"),
        ] {
            assert_eq!(address(text).unwrap(), wanted);
        }
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@127.0.0.1",
            "ada@[127.0.0.1]",
            "ada@-a.example",
            "ada@a..example",
            "ada@a_b.example",
            "a b@example.com",
            ".ada@example.com",
            "ada..l@example.com",
            "äda@example.com",
            "\"a b\"@example.com",
            "ada@example.com\r\nBcc: eve@example.com",
            "ada\r\nBcc: eve@example.com",
            "ada@example.com>",
            "a@b@example.com",
            "ada@example.com, eve@example.com",
            long.as_str(),
        ] {
            let error = address(text).unwrap_err();
            assert!(error.contains("is no mail address"), "{error}");
            assert!(!error.contains('\n') && !error.contains('\r'), "{error:?}");
        }
    }

    #[test]
    fn a_mailbox_may_have_a_name() {
        for (text, name) in [
            ("ada@example.com", None),
            ("<ada@example.com>", None),
            ("Ada <ada@example.com>", Some("Ada")),
            ("\"Lovelace, Ada\" <ada@example.com>", Some("Lovelace, Ada")),
            ("Käthe <ada@example.com>", Some("Käthe")),
        ] {
            let mailbox: Mailbox = text.parse().unwrap();
            assert_eq!(
                (mailbox.name.as_deref(), mailbox.address.as_str()),
                (name, "ada@example.com")
            );
        }
        for text in [
            "Ada\r\nBcc: eve@example.com <ada@example.com>",
            "Eve <eve@example.com> <ada@example.com>",
            "Ada <ada>",
            "a\"b <ada@example.com>",
        ] {
            assert!(text.parse::<Mailbox>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sender_is_an_address_or_a_domain() {
        let shop: Sender = "shop@example.com".parse().unwrap();
        let all: Sender = "@Example.com".parse().unwrap();
        assert_eq!(
            (shop.to_string(), all.to_string()),
            ("shop@example.com".into(), "@example.com".into())
        );
        let from: Address = "SHOP@example.com".parse().unwrap();
        let other: Address = "shop@other.example".parse().unwrap();
        assert!(shop.covers(&from) && all.covers(&from));
        assert!(!shop.covers(&other) && !all.covers(&other));
        let sub: Address = "shop@sub.example.com".parse().unwrap();
        assert!(!all.covers(&sub));
        assert!(all.covers_sender(&shop) && !shop.covers_sender(&all) && all.covers_sender(&all));
        assert!("@".parse::<Sender>().is_err());
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(json, "\"@example.com\"");
        assert_eq!(serde_json::from_str::<Sender>(&json).unwrap(), all);
    }
}
