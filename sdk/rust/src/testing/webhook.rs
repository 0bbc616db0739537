//! Webhooks of the manifest, signed as their senders do and checked as the host does.

use std::collections::BTreeSet;

use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Host;
use super::jobs::Span;
use super::problems::Code;
use super::state::State;
use crate::{IntoResponse as _, Response};

/// A webhook of the manifest.
#[derive(Clone, Deserialize)]
pub(super) struct WebhookSpec {
    pub name: String,
    pub scheme: Scheme,
    pub secrets: Vec<String>,
    pub job: String,
    pub tolerance: Option<Span>,
    pub header: Option<String>,
    #[serde(default)]
    pub prefix: String,
    #[serde(default)]
    pub encoding: Encoding,
    pub timestamp_header: Option<String>,
    pub id_header: Option<String>,
    pub signed: Option<String>,
}

/// The schemes of signatures.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scheme {
    Stripe,
    Standard,
    Github,
    Hmac,
}

/// How a signature is written.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// A webhook that is to be delivered. Create it with [`Host::webhook`].
///
/// ```no_run
/// let host = mortise_sdk::testing::Host::builder()
///     .plugin(env!("CARGO_MANIFEST_DIR"))
///     .secret("stripe_webhook", "whsec_test")
///     .start();
/// let response = host.webhook("stripe").json(&serde_json::json!({ "id": "evt_1" })).send();
/// assert_eq!(response.status(), 200);
/// ```
#[must_use = "call `send`"]
pub struct WebhookBuilder<'a> {
    state: &'a State,
    spec: WebhookSpec,
    body: String,
    id: Option<String>,
    headers: Vec<(String, String)>,
    seconds: i64,
    secret: Option<String>,
    signature: Option<String>,
}

/// How far a signed time may be from now, in seconds, unless the manifest says otherwise.
const TOLERANCE: u64 = 300;

/// The largest body of a webhook. It is the tenant's limit, so a manifest cannot lower it.
const WEBHOOK_BODY: usize = 256 * 1024;

impl Host {
    /// Creates a webhook of the manifest, signed with the first of its secrets that the test host
    /// has. If the manifest does not have it, the test fails.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// assert_eq!(host.webhook("github").body("{}").signature("wrong").send().status(), 400);
    /// ```
    pub fn webhook(&self, name: &str) -> WebhookBuilder<'_> {
        let webhooks = self.state.manifest.as_ref().map(|manifest| &manifest.webhooks);
        let spec = webhooks.and_then(|webhooks| webhooks.iter().find(|webhook| webhook.name == name));
        let spec = spec.unwrap_or_else(|| panic!("plugin.toml has no [[webhook]] named `{name}`"));
        WebhookBuilder {
            state: &self.state,
            spec: spec.clone(),
            body: String::new(),
            id: None,
            headers: Vec::new(),
            seconds: self.state.now_ms.get().div_euclid(1_000),
            secret: None,
            signature: None,
        }
    }
}

impl WebhookBuilder<'_> {
    /// Sets the body.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// host.webhook("stripe").body(r#"{"id":"evt_1"}"#).send();
    /// ```
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body, with its content type.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// host.webhook("stripe").json(&serde_json::json!({ "id": "evt_1" })).send();
    /// ```
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        let text = serde_json::to_string(value)
            .unwrap_or_else(|error| panic!("the body of the test cannot be written as JSON: {error}"));
        self.header("content-type", "application/json").body(text)
    }

    /// Sets the id of the message in the header of the scheme. Stripe's id is part of the body. A
    /// message without an id is known by its bytes.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// host.webhook("github").id("72d3162e").body("{}").send();
    /// ```
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// Adds a header, which the job gets.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// host.webhook("github").header("x-github-event", "push").body("{}").send();
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Sets the signed time, in seconds since 1970 UTC. By default it is the test host's time.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// assert_eq!(host.webhook("stripe").body("{}").at(0).send().status(), 400);
    /// ```
    pub fn at(mut self, unix_seconds: i64) -> Self {
        self.seconds = unix_seconds;
        self
    }

    /// Signs with this value in place of the secret that the test host has.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// assert_eq!(host.webhook("stripe").secret("whsec_other").body("{}").send().status(), 400);
    /// ```
    pub fn secret(mut self, value: &str) -> Self {
        self.secret = Some(value.to_owned());
        self
    }

    /// Sends this text in place of the signature.
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// assert_eq!(host.webhook("github").signature("00").body("{}").send().status(), 400);
    /// ```
    pub fn signature(mut self, signature: &str) -> Self {
        self.signature = Some(signature.to_owned());
        self
    }

    /// Delivers the webhook and returns the host's answer. If it is valid and new, its job waits
    /// for [`Host::run_jobs`].
    ///
    /// ```no_run
    /// let host = mortise_sdk::testing::Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start();
    /// assert_eq!(host.webhook("stripe").body("{}").send().text(), "{}");
    /// ```
    pub fn send(self) -> Response {
        let state = self.state;
        if self.body.len() > WEBHOOK_BODY {
            let detail = "the body has more than 256KiB (limit `webhook_body` of the tenant)";
            return Code::BodyTooLarge.problem(detail).into_response();
        }
        let known: Vec<&String> = self
            .spec
            .secrets
            .iter()
            .filter_map(|name| state.secrets.get(name))
            .collect();
        let Some(first) = known.first() else {
            let detail = "the tenant has not set a secret for this webhook yet; send it again later";
            return Code::Unavailable.problem(detail).into_response();
        };
        let signing = self.secret.as_ref().unwrap_or(first);
        let signature = match &self.signature {
            Some(signature) => signature.clone(),
            None => self.sign(signing),
        };
        let is_signed = known.iter().any(|secret| self.sign(secret) == signature);
        if !is_signed || !self.is_in_time() {
            let detail = "the signature of the webhook is missing, wrong or too old; the tenant's admin API says which";
            return Code::InvalidWebhook.problem(detail).into_response();
        }
        let message = self.message();
        let headers = self.all_headers(&signature);
        let now_ms = state.now_ms.get();
        let Self { spec, body, .. } = self;
        let key = (spec.name.clone(), message);
        state.background.receive(key, &spec.job, body, headers, now_ms);
        Response::new(200)
            .with_header("content-type", "application/json")
            .with_body("{}")
    }

    /// What is signed.
    fn signed(&self) -> String {
        let (time, body) = (self.seconds, &self.body);
        let id = self.header_id();
        match self.spec.scheme {
            Scheme::Stripe => format!("{time}.{body}"),
            Scheme::Standard => format!("{id}.{time}.{body}"),
            Scheme::Github => body.clone(),
            Scheme::Hmac => {
                let signed = match (&self.spec.signed, &self.spec.timestamp_header) {
                    (Some(signed), _) => signed.as_str(),
                    (None, Some(_)) => "{timestamp}.{body}",
                    (None, None) => "{body}",
                };
                // The body comes last, since it may have braces of its own.
                signed
                    .replace("{timestamp}", &time.to_string())
                    .replace("{id}", id)
                    .replace("{body}", body)
            }
        }
    }

    fn sign(&self, secret: &str) -> String {
        let key = match self.spec.scheme {
            Scheme::Standard => {
                let text = secret.trim();
                let text = text.strip_prefix("whsec_").unwrap_or(text);
                decode_base64(text)
                    .unwrap_or_else(|| panic!("a secret of Standard Webhooks is `whsec_` and base64"))
            }
            _ => secret.as_bytes().to_vec(),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)
            .unwrap_or_else(|_| unreachable!("HMAC takes a key of any length"));
        mac.update(self.signed().as_bytes());
        let made = mac.finalize().into_bytes();
        let is_base64 = match self.spec.scheme {
            Scheme::Standard => true,
            Scheme::Hmac => self.spec.encoding == Encoding::Base64,
            Scheme::Stripe | Scheme::Github => false,
        };
        match is_base64 {
            true => encode_base64(&made),
            false => encode_hex(&made),
        }
    }

    fn is_in_time(&self) -> bool {
        let has_time = match self.spec.scheme {
            Scheme::Stripe | Scheme::Standard => true,
            Scheme::Hmac => self.spec.timestamp_header.is_some(),
            Scheme::Github => false,
        };
        let now = self.state.now_ms.get().div_euclid(1_000);
        let tolerance = self.spec.tolerance.map_or(TOLERANCE, Span::seconds);
        !has_time || now.abs_diff(self.seconds) <= tolerance
    }

    /// The id of the message in its header.
    fn header_id(&self) -> &str {
        self.id.as_deref().unwrap_or("msg_test")
    }

    /// The id by which repeats are recognised.
    fn message(&self) -> String {
        let has_id_header = match self.spec.scheme {
            Scheme::Stripe => {
                let event: Option<serde_json::Value> = serde_json::from_str(&self.body).ok();
                let id = event.and_then(|event| Some(event.get("id")?.as_str()?.to_owned()));
                return id.unwrap_or_else(|| self.digest());
            }
            Scheme::Standard | Scheme::Github => true,
            Scheme::Hmac => self.spec.id_header.is_some(),
        };
        match &self.id {
            Some(id) if has_id_header => id.clone(),
            _ => self.digest(),
        }
    }

    fn digest(&self) -> String {
        encode_hex(&Sha256::digest(self.signed()))
    }

    fn all_headers(&self, signature: &str) -> Vec<(String, String)> {
        let mut headers = self.headers.clone();
        let mut add = |name: &str, value: String| headers.push((name.to_ascii_lowercase(), value));
        let time = self.seconds.to_string();
        match self.spec.scheme {
            Scheme::Stripe => add("stripe-signature", format!("t={time},v1={signature}")),
            Scheme::Standard => {
                add("webhook-id", self.header_id().to_owned());
                add("webhook-timestamp", time);
                add("webhook-signature", format!("v1,{signature}"));
            }
            Scheme::Github => {
                add("x-github-delivery", self.header_id().to_owned());
                add("x-hub-signature-256", format!("sha256={signature}"));
            }
            Scheme::Hmac => {
                if let Some(header) = &self.spec.header {
                    add(header, format!("{}{signature}", self.spec.prefix));
                }
                if let Some(header) = &self.spec.timestamp_header {
                    add(header, time);
                }
                if let Some(header) = &self.spec.id_header {
                    add(header, self.header_id().to_owned());
                }
            }
        }
        headers
    }
}

/// Fails the test if a webhook of the manifest names a job that the manifest does not have.
pub(super) fn check(webhooks: &[WebhookSpec], jobs: &BTreeSet<&str>) {
    for webhook in webhooks {
        assert!(
            jobs.contains(webhook.job.as_str()),
            "the [[webhook]] `{}` has the job `{}`, but plugin.toml has no such [[job]]",
            webhook.name,
            webhook.job
        );
    }
}

fn encode_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode_base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..4_usize {
            let digit = (group >> (18 - 6 * index)) & 0x3f;
            text.push(match index <= chunk.len() {
                true => char::from(ALPHABET[digit as usize]),
                false => '=',
            });
        }
    }
    text
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::new();
    for chunk in digits.chunks(4) {
        let mut group = 0_u32;
        for index in 0..4 {
            let value = match chunk.get(index) {
                Some(digit) => ALPHABET.iter().position(|known| known == digit)?,
                None => 0,
            };
            group = group << 6 | u32::try_from(value).ok()?;
        }
        let whole = group.to_be_bytes();
        bytes.extend_from_slice(&whole[1..chunk.len().max(1)]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_written_and_read() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode_base64(plain.as_bytes()), text);
            assert_eq!(decode_base64(text).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode_base64(&[0xff, 0xfe, 0xfd]), "//79");
        assert_eq!(decode_base64("//79"), Some(vec![0xff, 0xfe, 0xfd]));
        assert_eq!(decode_base64("a b="), None);
    }
}
