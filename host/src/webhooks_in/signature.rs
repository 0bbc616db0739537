//! Checks the signatures of webhooks over the bytes as they were received.
//!
//! All secrets are tried with all signatures of a request, in constant time. The time of the
//! request is looked at only once the signature is known to be right.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use http::HeaderMap;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::domain::clock::Timestamp;
use crate::domain::units::Span;
use crate::domain::webhook::{Encoding, HmacScheme, Scheme, SignedPart};

/// Why a request is not accepted. The text is for the plugin's developers; the sender does not see
/// it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A header is missing.
    #[error("the header `{0}` is missing, or has several values")]
    Header(String),
    /// The header with the signature has no signature in the form of the scheme.
    #[error("the header `{0}` has no signature in the form of the scheme")]
    Form(String),
    /// None of the secrets made one of the signatures.
    #[error(
        "no secret of the webhook made the signature; the body was changed, or the sender has another secret"
    )]
    Signature,
    /// The time is not a number of seconds.
    #[error("the signed time is not a number of seconds since 1970")]
    Time,
    /// The time is too far from now.
    #[error(
        "the signed time is more than {tolerance} {direction}; a request was sent again, or a clock is wrong"
    )]
    Outdated {
        /// The tolerance.
        tolerance: Span,
        /// Whether it is before or after now.
        direction: &'static str,
    },
}

/// The most signatures of a request that are compared, so that a header with many costs little.
const MAX_SIGNATURES: usize = 10;

/// The longest id of a message that is stored as it is. Of a longer one, the hash is stored.
const MAX_ID: usize = 200;

/// The prefix of secrets of Standard Webhooks.
const STANDARD_PREFIX: &str = "whsec_";

/// Checks a request. Returns the id of its message, by which repeats are recognised.
pub fn check(
    scheme: &Scheme,
    secrets: &[SecretString],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<String, Invalid> {
    match scheme {
        Scheme::Stripe { tolerance } => stripe(*tolerance, secrets, headers, body, now),
        Scheme::Standard { tolerance } => standard(*tolerance, secrets, headers, body, now),
        Scheme::Github => github(secrets, headers, body),
        Scheme::Hmac(scheme) => hmac(scheme, secrets, headers, body, now),
    }
}

/// `Stripe-Signature: t=…,v1=…`. Other versions than `v1` are ignored, so that nobody can choose a
/// weaker one.
fn stripe(
    tolerance: Span,
    secrets: &[SecretString],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<String, Invalid> {
    const HEADER: &str = "stripe-signature";
    let mut timestamp = None;
    let mut signatures = Vec::new();
    for item in single(headers, HEADER)?.split(',') {
        match item.trim().split_once('=') {
            Some(("t", value)) => timestamp = Some(value),
            Some(("v1", value)) => signatures.extend(hex::decode(value)),
            _ => {}
        }
    }
    let timestamp = timestamp.ok_or_else(|| Invalid::Form(HEADER.to_owned()))?;
    let signed = [timestamp.as_bytes(), b".", body];
    is_signed(HEADER, &plain_keys(secrets), &signed, &signatures)?;
    check_time(timestamp, tolerance, now)?;
    Ok(match event_id(body) {
        Some(id) => bounded(&id),
        None => digest(&[body]),
    })
}

/// Standard Webhooks. The header may have several signatures, separated by blanks; those of other
/// versions than `v1` are ignored.
fn standard(
    tolerance: Span,
    secrets: &[SecretString],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<String, Invalid> {
    const HEADER: &str = "webhook-signature";
    let id = single(headers, "webhook-id")?;
    let timestamp = single(headers, "webhook-timestamp")?;
    let signatures = single(headers, HEADER)?
        .split_ascii_whitespace()
        .filter_map(|signature| BASE64.decode(signature.strip_prefix("v1,")?).ok());
    let signatures: Vec<Vec<u8>> = signatures.collect();
    // A dot in the id would let two different requests have the same signed text.
    if id.is_empty() || id.contains('.') {
        return Err(Invalid::Form("webhook-id".to_owned()));
    }
    let keys: Vec<Vec<u8>> = secrets.iter().filter_map(standard_key).collect();
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
    is_signed(HEADER, &keys, &signed, &signatures)?;
    check_time(timestamp, tolerance, now)?;
    Ok(bounded(id))
}

/// `X-Hub-Signature-256: sha256=…`. GitHub signs neither a time nor the id of the delivery.
fn github(secrets: &[SecretString], headers: &HeaderMap, body: &[u8]) -> Result<String, Invalid> {
    const HEADER: &str = "x-hub-signature-256";
    let signature = single(headers, HEADER)?.strip_prefix("sha256=");
    let signature = signature.and_then(|digits| hex::decode(digits).ok());
    let signature = signature.ok_or_else(|| Invalid::Form(HEADER.to_owned()))?;
    is_signed(HEADER, &plain_keys(secrets), &[body], &[signature])?;
    Ok(match single(headers, "x-github-delivery") {
        Ok(id) if !id.is_empty() => bounded(id),
        _ => digest(&[body]),
    })
}

fn hmac(
    scheme: &HmacScheme,
    secrets: &[SecretString],
    headers: &HeaderMap,
    body: &[u8],
    now: Timestamp,
) -> Result<String, Invalid> {
    let header = scheme.header.as_str();
    let written = single(headers, header)?.strip_prefix(scheme.prefix.as_str());
    let signature = written.and_then(|written| match scheme.encoding {
        Encoding::Hex => hex::decode(written).ok(),
        Encoding::Base64 => BASE64.decode(written).ok(),
    });
    let signature = signature.ok_or_else(|| Invalid::Form(header.to_owned()))?;
    let timestamp = match &scheme.timestamp {
        Some((header, tolerance)) => Some((single(headers, header.as_str())?, *tolerance)),
        None => None,
    };
    let id = match &scheme.id {
        Some(header) => Some(single(headers, header.as_str())?),
        None => None,
    };
    let signed: Vec<&[u8]> = scheme
        .signed
        .iter()
        .map(|part| match part {
            SignedPart::Text(text) => text.as_bytes(),
            // The manifest's checks make sure that the headers of these parts are named.
            SignedPart::Timestamp => timestamp.map_or(&b""[..], |(time, _)| time.as_bytes()),
            SignedPart::Id => id.map_or(&b""[..], str::as_bytes),
            SignedPart::Body => body,
        })
        .collect();
    is_signed(header, &plain_keys(secrets), &signed, &[signature])?;
    if let Some((time, tolerance)) = timestamp {
        check_time(time, tolerance, now)?;
    }
    Ok(match id {
        Some(id) if !id.is_empty() => bounded(id),
        _ => digest(&signed),
    })
}

/// The value of a header that occurs once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Invalid> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none());
    value
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| Invalid::Header(name.to_owned()))
}

/// Keys that are the bytes of the secrets themselves. Anybody could sign with an empty one.
fn plain_keys(secrets: &[SecretString]) -> Vec<Vec<u8>> {
    let keys = secrets.iter().map(|secret| secret.expose_secret().as_bytes());
    keys.filter(|key| !key.is_empty()).map(<[u8]>::to_vec).collect()
}

/// The key of a secret of Standard Webhooks: base64, with or without its prefix. `None` if it is
/// not base64.
fn standard_key(secret: &SecretString) -> Option<Vec<u8>> {
    let text = secret.expose_secret().trim();
    let text = text.strip_prefix(STANDARD_PREFIX).unwrap_or(text);
    BASE64.decode(text).ok().filter(|key| !key.is_empty())
}

/// Whether one of the keys made one of the signatures. All of them are compared, whatever the
/// result of the first ones.
fn is_signed(
    header: &str,
    keys: &[Vec<u8>],
    signed: &[&[u8]],
    signatures: &[Vec<u8>],
) -> Result<(), Invalid> {
    if signatures.is_empty() {
        return Err(Invalid::Form(header.to_owned()));
    }
    let mut is_signed = Choice::from(0);
    for key in keys {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
        for part in signed {
            mac.update(part);
        }
        let made = mac.finalize().into_bytes();
        for signature in signatures.iter().take(MAX_SIGNATURES) {
            is_signed |= made.as_slice().ct_eq(signature.as_slice());
        }
    }
    match bool::from(is_signed) {
        true => Ok(()),
        false => Err(Invalid::Signature),
    }
}

/// Refuses a signed time that is too far from now, into the past or into the future.
fn check_time(text: &str, tolerance: Span, now: Timestamp) -> Result<(), Invalid> {
    let seconds: i64 = text.parse().map_err(|_| Invalid::Time)?;
    let time = Timestamp(seconds.checked_mul(1_000).ok_or(Invalid::Time)?);
    let outdated = |direction| Err(Invalid::Outdated { tolerance, direction });
    if now.since(time) > tolerance.0 {
        return outdated("ago");
    }
    if time.since(now) > tolerance.0 {
        return outdated("ahead");
    }
    Ok(())
}

/// The member `id` of a JSON object.
fn event_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        id: String,
    }
    let event: Event = serde_json::from_slice(body).ok()?;
    Some(event.id).filter(|id| !id.is_empty())
}

/// An id that is stored. The sender controls its length.
fn bounded(id: &str) -> String {
    match id.len() <= MAX_ID {
        true => id.to_owned(),
        false => digest(&[id.as_bytes()]),
    }
}

/// The hash of what was signed, for messages without an id.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::webhook::WebhookSpec;

    /// 2026-01-01T00:00:00Z.
    const NOW_S: i64 = 1_767_225_600;
    const NOW: Timestamp = Timestamp(NOW_S * 1_000);

    fn scheme(more: &str) -> Scheme {
        let spec: WebhookSpec =
            toml::from_str(&format!("name = 'in'\nsecrets = ['key']\njob = 'work'\n{more}")).unwrap();
        spec.check().unwrap();
        spec.scheme().unwrap()
    }

    fn mac(key: &[u8], text: &str) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    }

    fn headers(of: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            let name: http::HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    fn secrets(of: &[&str]) -> Vec<SecretString> {
        of.iter().map(|secret| SecretString::from(*secret)).collect()
    }

    const BODY: &str = r#"{"id":"evt_1","amount":990}"#;

    fn stripe_header(key: &str, time: i64) -> String {
        let signature = hex::encode(mac(key.as_bytes(), &format!("{time}.{BODY}")));
        format!("t={time},v1={signature}")
    }

    fn stripe_checked(header: &str, keys: &[&str], now: Timestamp) -> Result<String, Invalid> {
        let headers = headers(&[("stripe-signature", header)]);
        check(
            &scheme("scheme = 'stripe'"),
            &secrets(keys),
            &headers,
            BODY.as_bytes(),
            now,
        )
    }

    #[test]
    fn stripe_signs_the_time_and_the_body() {
        let header = stripe_header("whsec_a", NOW_S);
        assert_eq!(stripe_checked(&header, &["whsec_a"], NOW), Ok("evt_1".to_owned()));
        assert_eq!(
            stripe_checked(&header, &["whsec_next", "whsec_a"], NOW),
            Ok("evt_1".to_owned())
        );
        assert_eq!(
            stripe_checked(&header, &["whsec_b"], NOW),
            Err(Invalid::Signature)
        );
        // While a secret is rolled, Stripe sends the signatures of both.
        let rolled = format!("{},v1={}", header, "00".repeat(32));
        assert!(stripe_checked(&rolled, &["whsec_a"], NOW).is_ok());
        // Only `v1` counts.
        let downgraded = header.replace("v1=", "v0=");
        assert!(matches!(
            stripe_checked(&downgraded, &["whsec_a"], NOW),
            Err(Invalid::Form(_))
        ));
        let changed = header.replace(&format!("t={NOW_S}"), &format!("t={}", NOW_S + 1));
        assert_eq!(
            stripe_checked(&changed, &["whsec_a"], NOW),
            Err(Invalid::Signature)
        );
        for nothing in ["", "t=", "v1=00", "garbage"] {
            assert!(stripe_checked(nothing, &["whsec_a"], NOW).is_err(), "{nothing}");
        }
        assert_eq!(stripe_checked(&header, &[], NOW), Err(Invalid::Signature));
        let unkeyed = stripe_header("", NOW_S);
        assert_eq!(stripe_checked(&unkeyed, &[""], NOW), Err(Invalid::Signature));
    }

    #[test]
    fn a_time_is_compared_both_ways_and_after_the_signature() {
        let at = |offset: i64| {
            let header = stripe_header("k", NOW_S + offset);
            stripe_checked(&header, &["k"], NOW)
        };
        assert!(at(-300).is_ok() && at(300).is_ok());
        for offset in [-301, 301, -i64::from(u32::MAX)] {
            assert!(matches!(at(offset), Err(Invalid::Outdated { .. })), "{offset}");
        }
        // A sender that cannot sign learns nothing about the clock.
        let old = stripe_header("other", NOW_S - 9_999);
        assert_eq!(stripe_checked(&old, &["k"], NOW), Err(Invalid::Signature));
        let signature = hex::encode(mac(b"k", &format!("now.{BODY}")));
        let header = format!("t=now,v1={signature}");
        assert_eq!(stripe_checked(&header, &["k"], NOW), Err(Invalid::Time));
    }

    #[test]
    fn an_event_without_an_id_is_known_by_its_bytes() {
        let checked = |body: &str| {
            let signature = hex::encode(mac(b"k", &format!("{NOW_S}.{body}")));
            let headers = headers(&[("stripe-signature", &format!("t={NOW_S},v1={signature}"))]);
            check(
                &scheme("scheme = 'stripe'"),
                &secrets(&["k"]),
                &headers,
                body.as_bytes(),
                NOW,
            )
            .unwrap()
        };
        for body in ["{}", "[]", "not JSON", r#"{"id":7}"#, ""] {
            assert!(checked(body).starts_with("sha256:"), "{body}");
        }
        assert_ne!(checked("{}"), checked("[]"));
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(201));
        assert!(checked(&long).starts_with("sha256:"));
    }

    /// The example of the specification of Standard Webhooks.
    #[test]
    fn standard_webhooks_are_checked_as_the_specification_says() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, time) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let body = br#"{"test": 2432232314}"#;
        let now = Timestamp(time * 1_000);
        let checked = |id: &str, signature: &str, keys: &[&str]| {
            let time = time.to_string();
            let headers = headers(&[
                ("webhook-id", id),
                ("webhook-timestamp", &time),
                ("webhook-signature", signature),
            ]);
            check(
                &scheme("scheme = 'standard'"),
                &secrets(keys),
                &headers,
                body,
                now,
            )
        };
        assert_eq!(checked(id, signature, &[secret]), Ok(id.to_owned()));
        let bare = secret.trim_start_matches("whsec_");
        assert_eq!(checked(id, signature, &[bare]), Ok(id.to_owned()));
        let several = format!("v1a,AAAA v1,{} {signature}", BASE64.encode([0_u8; 32]));
        assert_eq!(checked(id, &several, &["whsec_AAAA", secret]), Ok(id.to_owned()));
        assert_eq!(
            checked("msg_other", signature, &[secret]),
            Err(Invalid::Signature)
        );
        assert!(checked("msg.p5", signature, &[secret]).is_err());
        assert!(checked(id, signature.trim_start_matches("v1,"), &[secret]).is_err());
        assert_eq!(checked(id, signature, &["not base64!"]), Err(Invalid::Signature));
    }

    #[test]
    fn github_signs_the_body_and_names_the_delivery() {
        // The example of GitHub's documentation.
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let checked = |signature: &str, more: &[(&str, &str)]| {
            let mut all = vec![("x-hub-signature-256", signature)];
            all.extend(more);
            let key = secrets(&["It's a Secret to Everybody"]);
            check(&Scheme::Github, &key, &headers(&all), b"Hello, World!", NOW)
        };
        let delivery = [("x-github-delivery", "72d3162e")];
        assert_eq!(checked(signature, &delivery), Ok("72d3162e".to_owned()));
        assert!(checked(signature, &[]).unwrap().starts_with("sha256:"));
        assert_eq!(
            checked(&signature.replace("757", "758"), &delivery),
            Err(Invalid::Signature)
        );
        assert!(checked(signature.trim_start_matches("sha256="), &delivery).is_err());
        // A second header could be the one that another server looks at.
        let twice = [("x-hub-signature-256", signature)];
        assert!(matches!(checked(signature, &twice), Err(Invalid::Header(_))));
    }

    #[test]
    fn a_sender_of_its_own_scheme_is_checked_as_the_manifest_says() {
        let slack = scheme(
            "scheme = 'hmac'\nheader = 'x-slack-signature'\nprefix = 'v0='\n\
             timestamp_header = 'x-time'\nsigned = 'v0:{timestamp}:{body}'\n",
        );
        let time = NOW_S.to_string();
        let signature = format!("v0={}", hex::encode(mac(b"k", &format!("v0:{time}:{BODY}"))));
        let all = headers(&[("x-slack-signature", &signature), ("x-time", &time)]);
        let key = secrets(&["k"]);
        assert!(
            check(&slack, &key, &all, BODY.as_bytes(), NOW)
                .unwrap()
                .starts_with("sha256:")
        );
        let later = Timestamp(NOW.0 + 301_000);
        assert!(matches!(
            check(&slack, &key, &all, BODY.as_bytes(), later),
            Err(Invalid::Outdated { .. })
        ));
        let without = headers(&[("x-slack-signature", &signature)]);
        assert!(matches!(
            check(&slack, &key, &without, BODY.as_bytes(), NOW),
            Err(Invalid::Header(_))
        ));

        let shopify = scheme("scheme = 'hmac'\nheader = 'x-hmac'\nencoding = 'base64'\nid_header = 'x-id'");
        let signature = BASE64.encode(mac(b"k", BODY));
        let all = headers(&[("x-hmac", &signature), ("x-id", "42")]);
        assert_eq!(
            check(&shopify, &key, &all, BODY.as_bytes(), NOW),
            Ok("42".to_owned())
        );
        assert_eq!(
            check(&shopify, &key, &all, b"other", NOW),
            Err(Invalid::Signature)
        );
    }
}
