//! The mail server of a tenant: where its mail is handed over.

use serde::{Deserialize, Serialize};

use super::mail_address::ascii_domain;
use super::secret::is_plain_name;

/// The ports at which mail servers listen. Other ports belong to other services, which a tenant
/// must not talk to by way of mail.
pub const SMTP_PORTS: [u16; 4] = [25, 465, 587, 2525];

/// The longest user name, in bytes.
const MAX_USERNAME: usize = 256;

/// A mail server that a tenant chose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SmtpSettings {
    /// Host name or address of the server. TLS certificates are checked against it.
    #[schema(example = "smtp.example.com")]
    pub host: String,
    /// Port: 25, 465, 587 or 2525.
    #[schema(example = 587)]
    pub port: u16,
    /// How the connection is protected.
    pub security: SmtpSecurity,
    /// User name. Without it, the host does not authenticate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The tenant's secret with the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<String>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpSecurity {
    /// TLS from the first byte, usual at port 465.
    Tls,
    /// TLS by the command STARTTLS, which is required; usual at port 587.
    Starttls,
    /// Plain text, without a password.
    None,
}

impl SmtpSettings {
    /// Checks values that could never work. An error names the member.
    pub fn check(&self) -> Result<(), String> {
        let address = self.host.trim_start_matches('[').trim_end_matches(']');
        if ascii_domain(&self.host).is_none() && address.parse::<std::net::IpAddr>().is_err() {
            return Err(
                "host: write the name or the address of a mail server, such as smtp.example.com".to_owned(),
            );
        }
        if !SMTP_PORTS.contains(&self.port) {
            return Err(format!(
                "port: {} is not a port of mail servers; it is one of 25, 465, 587 and 2525",
                self.port
            ));
        }
        match (&self.username, &self.password_secret) {
            (None, None) => return Ok(()),
            (Some(name), Some(secret)) => {
                if !(1..=MAX_USERNAME).contains(&name.len()) || name.chars().any(char::is_control) {
                    return Err(format!(
                        "username: 1 to {MAX_USERNAME} bytes are needed, and no control characters"
                    ));
                }
                if !is_plain_name(secret) {
                    return Err(format!("password_secret: `{secret}` is not the name of a secret"));
                }
            }
            (Some(_), None) => {
                return Err("password_secret: name the secret with the password of `username`".to_owned());
            }
            (None, Some(_)) => return Err("username: it is needed beside `password_secret`".to_owned()),
        }
        match self.security {
            SmtpSecurity::Tls | SmtpSecurity::Starttls => Ok(()),
            SmtpSecurity::None => {
                Err("security: with `none`, everybody on the way could read the password; use `tls` or `starttls`".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SmtpSettings {
        SmtpSettings {
            host: "smtp.example.com".to_owned(),
            port: 587,
            security: SmtpSecurity::Starttls,
            username: Some("shop".to_owned()),
            password_secret: Some("smtp_password".to_owned()),
        }
    }

    #[test]
    fn what_could_work_is_accepted() {
        assert_eq!(settings().check(), Ok(()));
        for host in ["localhost", "10.0.0.1", "[2001:db8::1]", "2001:db8::1"] {
            let settings = SmtpSettings {
                host: host.to_owned(),
                ..settings()
            };
            assert_eq!(settings.check(), Ok(()), "{host}");
        }
        let open = SmtpSettings {
            username: None,
            password_secret: None,
            security: SmtpSecurity::None,
            port: 25,
            ..settings()
        };
        assert_eq!(open.check(), Ok(()));
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_member() {
        let cases = [
            (
                SmtpSettings {
                    port: 6379,
                    ..settings()
                },
                "port: ",
            ),
            (
                SmtpSettings {
                    host: "smtp.example.com\r\nQUIT".to_owned(),
                    ..settings()
                },
                "host: ",
            ),
            (
                SmtpSettings {
                    host: String::new(),
                    ..settings()
                },
                "host: ",
            ),
            (
                SmtpSettings {
                    username: Some("a\nb".to_owned()),
                    ..settings()
                },
                "username: ",
            ),
            (
                SmtpSettings {
                    username: None,
                    ..settings()
                },
                "username: ",
            ),
            (
                SmtpSettings {
                    password_secret: None,
                    ..settings()
                },
                "password_secret: ",
            ),
            (
                SmtpSettings {
                    security: SmtpSecurity::None,
                    ..settings()
                },
                "security: ",
            ),
        ];
        for (settings, member) in cases {
            let error = settings.check().unwrap_err();
            assert!(error.starts_with(member), "{error}");
        }
    }
}
