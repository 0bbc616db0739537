//! `[mail]`: the mail server of the host.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::smtp::SmtpSecurity;

/// The mail server of the host, for tenants without one of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailSection {
    /// Name or address of the server. Empty: mail is kept in the catcher and not sent.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// The name with which the host logs in. Empty: it does not.
    pub username: String,
    /// The password.
    pub password: ConfiguredPassword,
    /// The name that the host gives in its greeting. Empty: an address that says nothing.
    pub hello: String,
}

/// A password in the configuration. It is not shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ConfiguredPassword(pub String);

impl fmt::Debug for ConfiguredPassword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConfiguredPassword(…)")
    }
}

impl Default for MailSection {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 587,
            security: SmtpSecurity::Starttls,
            username: String::new(),
            password: ConfiguredPassword::default(),
            hello: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let section: MailSection = toml::from_str("host = 'a'\npassword = 'hunter2'").unwrap();
        assert_eq!(section.password.0, "hunter2");
        assert!(!format!("{section:?}").contains("hunter2"));
    }
}
