//! The suppression list: addresses to which a tenant's plugins send no mail.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::id::MailId;
use super::mail_address::{Address, InvalidAddress};

/// A mail address in lower case, by which addresses are compared.
///
/// RFC 5321 lets a receiver tell `Ada@x` from `ada@x`. No large one does, and a person who
/// unsubscribed must not get mail because a plugin wrote the address another way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "ada@example.com")]
pub struct AddressKey(String);

/// Why an address is on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SuppressionReason {
    /// Its owner unsubscribed.
    Unsubscribed,
    /// A server refused mail to it for good.
    Rejected,
    /// Somebody added it by the admin API.
    Added,
}

/// An address on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The address.
    pub address: AddressKey,
    /// Why it is on the list.
    pub reason: SuppressionReason,
    /// What the server answered, or what somebody noted.
    pub detail: Option<String>,
    /// The mail that the server refused.
    pub mail: Option<MailId>,
    /// When it was added.
    pub created_at: Timestamp,
}

impl AddressKey {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last `@`.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The address for the audit log, which viewers read: they do not see addresses of people.
    pub fn masked(&self) -> String {
        format!("*@{}", self.domain())
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AddressKey {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Address>().map(|address| Self::from(&address))
    }
}

impl From<&Address> for AddressKey {
    fn from(address: &Address) -> Self {
        Self(address.as_str().to_ascii_lowercase())
    }
}

impl TryFrom<String> for AddressKey {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<AddressKey> for String {
    fn from(address: AddressKey) -> Self {
        address.0
    }
}

impl SuppressionReason {
    /// All reasons.
    pub const ALL: [Self; 3] = [Self::Unsubscribed, Self::Rejected, Self::Added];

    /// The reason as it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Rejected => "rejected",
            Self::Added => "added",
        }
    }
}

impl FromStr for SuppressionReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reason = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        reason.ok_or_else(|| format!("`{text}` is no reason"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case() {
        let key: AddressKey = "Ada.Lovelace+x@Example.COM".parse().unwrap();
        assert_eq!(key.as_str(), "ada.lovelace+x@example.com");
        assert_eq!(key.domain(), "example.com");
        assert_eq!(key.masked(), "*@example.com");
        let key: AddressKey = "Ada@Bücher.example".parse().unwrap();
        assert_eq!(key.as_str(), "ada@xn--bcher-kva.example");
    }

    #[test]
    fn other_text_is_no_address() {
        let long = format!("{}@example.com", "a".repeat(65));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example..com",
            "ada@-x.com",
            "a b@example.com",
            "ada@example.com\r\nBcc: x@y",
            "<ada@example.com>",
            "a@b.com,c@d.com",
            long.as_str(),
        ] {
            assert!(text.parse::<AddressKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_reason_is_read_as_it_is_written() {
        for reason in SuppressionReason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
