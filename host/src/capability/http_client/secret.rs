//! Secrets in headers: the host sends them, the guest never holds them.

use http::HeaderValue;
use secrecy::ExposeSecret as _;

use super::super::ActiveVersion;
use super::super::secrets::{SecretError, value_for_use};
use super::address::Reach;
use super::error::SendError;
use crate::domain::origin::Scheme;
use crate::storage::vault::Vault;

/// `prefix` and the value of the secret, as the value of a header that does not print.
pub fn header_value(
    prefix: &str,
    name: &str,
    active: &ActiveVersion,
    vault: &Vault,
) -> Result<HeaderValue, SendError> {
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

/// Which addresses a request may reach. A secret goes out in plain text to the host's own loopback and nowhere else.
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
    use crate::capability::http_client::tests::{active_with_secret, vault};

    #[test]
    fn the_value_follows_its_prefix_and_does_not_print() {
        let active = active_with_secret("token", "s3cret");
        let value = header_value("Bearer ", "token", &active, &vault()).unwrap();
        assert_eq!(value.as_bytes(), b"Bearer s3cret");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }

    #[test]
    fn refusals_name_the_secret_and_not_its_value() {
        let active = active_with_secret("token", "s3cret\r\nX: y");
        let error = header_value("", "token", &active, &vault())
            .unwrap_err()
            .to_string();
        assert!(error.contains("`token`") && !error.contains("s3cret"), "{error}");
        let error = header_value("", "other", &active, &vault()).unwrap_err();
        assert!(
            matches!(&error, SendError::Denied(reason) if reason.contains("not granted this plugin the secret `other`"))
        );
        let mut unset = active.clone();
        unset.secrets = Default::default();
        let error = header_value("", "token", &unset, &vault()).unwrap_err();
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
