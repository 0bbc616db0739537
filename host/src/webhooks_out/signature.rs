//! Secrets and signatures of Standard Webhooks (`v1`: HMAC-SHA256).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

use crate::domain::clock::Timestamp;

/// The beginning of the text of a secret.
const PREFIX: &str = "whsec_";

/// The bytes of a secret that the host makes.
const BYTES: usize = 32;

/// The bytes that a secret may have.
const SIZES: std::ops::RangeInclusive<usize> = 24..=64;

/// A text that is no secret. The message does not contain it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `whsec_` and the base64 of 24 to 64 random bytes; leave it out, and the host makes one")]
pub struct InvalidSecret;

/// A secret that signs deliveries.
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// A new random secret.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = vec![0; BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads the text of a secret.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidSecret)?;
        let bytes = STANDARD.decode(encoded).map_err(|_| InvalidSecret)?;
        match SIZES.contains(&bytes.len()) {
            true => Ok(Self(bytes)),
            false => Err(InvalidSecret),
        }
    }

    /// The text of the secret, for the vault and for the answer that shows it once.
    pub fn reveal(&self) -> SecretString {
        format!("{PREFIX}{}", STANDARD.encode(&self.0)).into()
    }

    /// The signature of one attempt: `v1,` and the base64 of the HMAC over id, seconds and body.
    fn sign(&self, id: &str, at: Timestamp, body: &[u8]) -> String {
        let mut mac =
            <Hmac<Sha256> as hmac::Mac>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{}.", seconds(at)).as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// The value of `webhook-signature`: a signature of each secret.
pub fn signatures(secrets: &[SigningSecret], id: &str, at: Timestamp, body: &[u8]) -> String {
    let all: Vec<String> = secrets.iter().map(|secret| secret.sign(id, at, body)).collect();
    all.join(" ")
}

/// The value of `webhook-timestamp`.
pub fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000)
}

impl TryFrom<&SecretString> for SigningSecret {
    type Error = InvalidSecret;

    fn try_from(text: &SecretString) -> Result<Self, Self::Error> {
        Self::parse(text.expose_secret())
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SigningSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let at = Timestamp(1_614_265_330_999);
        let signature = signatures(&[secret], id, at, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_secret_signs_during_a_rotation() {
        let secrets = [
            SigningSecret::generate().unwrap(),
            SigningSecret::generate().unwrap(),
        ];
        let all = signatures(&secrets, "a", Timestamp(1_000), b"{}");
        let [one, other] = [0, 1].map(|index| secrets[index].sign("a", Timestamp(1_999), b"{}"));
        assert_eq!(all, format!("{one} {other}"));
        assert_ne!(one, other);
    }

    #[test]
    fn a_secret_is_read_as_it_is_written_and_hides_itself() {
        let secret = SigningSecret::generate().unwrap();
        let text = secret.reveal();
        assert_eq!(SigningSecret::try_from(&text).unwrap().0, secret.0);
        assert!(!format!("{secret:?}").contains(text.expose_secret()));
        let short = format!("whsec_{}", STANDARD.encode([1; 23]));
        let long = format!("whsec_{}", STANDARD.encode([1; 65]));
        for wrong in [
            "",
            "whsec_",
            "whsec_!",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            &short,
            &long,
        ] {
            assert!(SigningSecret::parse(wrong).is_err(), "{wrong}");
        }
    }
}
