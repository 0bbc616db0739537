//! Secrets in request headers: the host adds them, and the guest never gets them.

use http::HeaderValue;
use secrecy::ExposeSecret as _;

use super::super::ActiveVersion;
use super::super::secrets::{SecretError, value_for_use};
use super::address::Reach;
use super::error::SendError;
use crate::domain::origin::{Origin, Scheme};
use crate::storage::vault::Vault;

/// Builds a header value from `prefix` and the secret, marked as sensitive. `origin` must be one of
/// the secret's origins.
pub fn header_value(
    prefix: &str,
    name: &str,
    origin: &Origin,
    active: &ActiveVersion,
    vault: &Vault,
) -> Result<HeaderValue, SendError> {
    if let Some(origins) = active.grants.secrets.origins(name)
        && !origins.contain(origin)
    {
        return Err(SendError::Denied(format!(
            "the secret `{name}` may be sent to {origins}, and not to {origin}; list the origin under \
             `[secrets] use` in the plugin's manifest and have the tenant grant it"
        )));
    }
    let value = value_for_use(active, vault, name).map_err(|error| match error {
        SecretError::NotGranted(_) | SecretError::NotFound(_) => SendError::Denied(error.to_string()),
        SecretError::Vault(error) => SendError::Vault(error),
    })?;
    let text = zeroizing_concat(prefix, value.expose_secret());
    let mut header = HeaderValue::from_bytes(text.expose_secret().as_bytes()).map_err(|_| {
        SendError::InvalidRequest(format!(
            "the secret `{name}` or its prefix holds control characters and cannot be sent in a header"
        ))
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// Returns the addresses that a request may reach. A secret is sent without TLS only to the host's
/// loopback addresses.
pub fn reach(scheme: Scheme, carries_secret: bool, allow_loopback: bool) -> Result<Reach, SendError> {
    match (scheme, carries_secret, allow_loopback) {
        (Scheme::Http, true, false) => Err(SendError::Denied(
            "secrets are sent over `https` only; use an `https` URL".to_owned(),
        )),
        (Scheme::Http, true, true) => Ok(Reach::Loopback),
        (_, _, true) => Ok(Reach::PublicAndLoopback),
        (_, _, false) => Ok(Reach::Public),
    }
}

fn zeroizing_concat(prefix: &str, value: &str) -> secrecy::SecretString {
    let mut text = String::with_capacity(prefix.len() + value.len());
    text.push_str(prefix);
    text.push_str(value);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::http_client::tests::{active_with_secret, bind, vault};

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    fn value_for(name: &str, to: &str, active: &ActiveVersion) -> Result<HeaderValue, SendError> {
        header_value("Bearer ", name, &origin(to), active, &vault())
    }

    #[test]
    fn a_secret_goes_to_its_own_origins_only() {
        let mut active = active_with_secret("token", "s3cret");
        assert!(value_for("token", "https://any.example", &active).is_ok());
        bind(
            &mut active,
            "token",
            &["https://a.example", "https://b.example:8443"],
        );
        for to in [
            "https://a.example",
            "https://A.example:443",
            "https://b.example:8443",
        ] {
            assert!(value_for("token", to, &active).is_ok(), "{to}");
        }
        for to in [
            "http://a.example",
            "https://a.example:8443",
            "https://b.example",
            "https://www.a.example",
            "https://a.example.evil.example",
        ] {
            let error = value_for("token", to, &active).unwrap_err();
            assert!(
                matches!(&error, SendError::Denied(reason)
                    if reason.contains("`token`") && reason.contains(to) && !reason.contains("s3cret")),
                "{error:?}"
            );
        }
        bind(&mut active, "token", &[]);
        let error = value_for("token", "https://a.example", &active)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("the secret `token` may be sent to no origin"),
            "{error}"
        );
    }

    #[test]
    fn the_value_follows_its_prefix_and_does_not_print() {
        let active = active_with_secret("token", "s3cret");
        let value = value_for("token", "https://a.example", &active).unwrap();
        assert_eq!(value.as_bytes(), b"Bearer s3cret");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }

    #[test]
    fn refusals_name_the_secret_and_not_its_value() {
        let active = active_with_secret("token", "s3cret\r\nX: y");
        let to = "https://a.example";
        let error = value_for("token", to, &active).unwrap_err().to_string();
        assert!(error.contains("`token`") && !error.contains("s3cret"), "{error}");
        let error = value_for("other", to, &active).unwrap_err();
        assert!(
            matches!(&error, SendError::Denied(reason) if reason.contains("not granted this plugin the secret `other`"))
        );
        let mut unset = active.clone();
        unset.secrets = Default::default();
        let error = value_for("token", to, &unset).unwrap_err();
        assert!(matches!(&error, SendError::Denied(reason) if reason.contains("has not set it")));
    }

    #[test]
    fn plain_text_is_for_loopback_alone() {
        assert!(matches!(
            reach(Scheme::Http, true, false),
            Err(SendError::Denied(_))
        ));
        assert_eq!(reach(Scheme::Http, true, true).unwrap(), Reach::Loopback);
        assert_eq!(reach(Scheme::Https, true, false).unwrap(), Reach::Public);
        assert_eq!(reach(Scheme::Http, false, false).unwrap(), Reach::Public);
        assert_eq!(
            reach(Scheme::Https, true, true).unwrap(),
            Reach::PublicAndLoopback
        );
    }
}
