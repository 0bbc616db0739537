//! Inbound webhooks of a manifest: their schemes of signatures, and the checks of their values.

use std::collections::BTreeSet;

use http::HeaderName;
use serde::{Deserialize, Serialize};

use super::id::{JobName, WebhookName};
use super::secret::is_plain_name;
use super::units::Span;

/// A webhook that a plugin receives. The host checks its signature and adds a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSpec {
    /// The name within the plugin, and the last segment of the URL.
    pub name: WebhookName,
    /// How the sender signs.
    pub scheme: SchemeName,
    /// Names of secrets. Each may have signed, so that a secret can be replaced.
    pub secrets: Vec<String>,
    /// The kind of job.
    pub job: JobName,
    /// How far the signed time may be from now, into the past and into the future.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<Span>,
    /// The header with the signature, for the scheme `hmac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Text before the signature, for the scheme `hmac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How the signature is written, for the scheme `hmac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The header with the time in seconds since 1970, for the scheme `hmac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp_header: Option<String>,
    /// The header with the id of the message, for the scheme `hmac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_header: Option<String>,
    /// What is signed, for the scheme `hmac`: text with `{timestamp}`, `{id}` and `{body}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
}

/// The schemes of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SchemeName {
    /// `Stripe-Signature`.
    Stripe,
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
    /// GitHub's `X-Hub-Signature-256`.
    Github,
    /// An HMAC-SHA256 in a header of the sender's choice.
    Hmac,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Hexadecimal digits.
    #[default]
    Hex,
    /// Base64 with padding.
    Base64,
}

/// A scheme with its values, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// See [`SchemeName::Stripe`].
    Stripe {
        /// How far the signed time may be from now.
        tolerance: Span,
    },
    /// See [`SchemeName::Standard`].
    Standard {
        /// How far the signed time may be from now.
        tolerance: Span,
    },
    /// See [`SchemeName::Github`].
    Github,
    /// See [`SchemeName::Hmac`].
    Hmac(HmacScheme),
}

/// The values of the scheme `hmac`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacScheme {
    /// The header with the signature.
    pub header: HeaderName,
    /// Text before the signature.
    pub prefix: String,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The header with the time, and how far that time may be from now.
    pub timestamp: Option<(HeaderName, Span)>,
    /// The header with the id of the message.
    pub id: Option<HeaderName>,
    /// What is signed.
    pub signed: Vec<SignedPart>,
}

/// A part of what is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedPart {
    /// A text of the manifest.
    Text(String),
    /// The value of the header with the time.
    Timestamp,
    /// The value of the header with the id.
    Id,
    /// The body as it was received.
    Body,
}

/// The most secrets of a webhook. Each is tried for each signature of a request.
pub const MAX_SECRETS: usize = 5;

/// How far a signed time may be from now, unless the manifest says otherwise.
const TOLERANCE: Span = Span::s(5 * 60);

/// The longest tolerance. A captured request could be sent again for so long.
const MAX_TOLERANCE: Span = Span::s(24 * 60 * 60);

/// The most bytes of `prefix` and of `signed`.
const MAX_TEXT: usize = 200;

impl WebhookSpec {
    /// Refuses values that could never work. The error is a key and a sentence for the plugin's
    /// author.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.secrets.is_empty() || self.secrets.len() > MAX_SECRETS {
            let problem = format!("name 1 to {MAX_SECRETS} secrets; any of them may have signed");
            return Err(("secrets", problem));
        }
        if let Some(name) = self.secrets.iter().find(|name| !is_plain_name(name)) {
            let problem = format!(
                "no secret can be named `{name}`: a name has 1 to 128 letters, digits, `_`, `-` and `.`"
            );
            return Err(("secrets", problem));
        }
        if self.secrets.iter().collect::<BTreeSet<_>>().len() < self.secrets.len() {
            return Err(("secrets", "a secret is named twice".to_owned()));
        }
        match self.tolerance {
            Some(tolerance) if tolerance < Span::s(1) || tolerance > MAX_TOLERANCE => {
                let problem = format!("{tolerance} is not between 1s and {MAX_TOLERANCE}");
                Err(("tolerance", problem))
            }
            _ => self.scheme().map(drop),
        }
    }

    /// The scheme with its values. The error is a key and a sentence for the plugin's author.
    pub fn scheme(&self) -> Result<Scheme, (&'static str, String)> {
        let tolerance = self.tolerance.unwrap_or(TOLERANCE);
        let only_hmac = [
            ("header", self.header.is_some()),
            ("prefix", self.prefix.is_some()),
            ("encoding", self.encoding.is_some()),
            ("timestamp_header", self.timestamp_header.is_some()),
            ("id_header", self.id_header.is_some()),
            ("signed", self.signed.is_some()),
        ];
        let is_given = |(key, given): &(&'static str, bool)| given.then_some(*key);
        if self.scheme != SchemeName::Hmac
            && let Some(key) = only_hmac.iter().find_map(is_given)
        {
            return Err((key, "this key is for the scheme `hmac` only".to_owned()));
        }
        match self.scheme {
            SchemeName::Stripe => Ok(Scheme::Stripe { tolerance }),
            SchemeName::Standard => Ok(Scheme::Standard { tolerance }),
            SchemeName::Github if self.tolerance.is_some() => Err(without_time()),
            SchemeName::Github => Ok(Scheme::Github),
            SchemeName::Hmac => self.hmac(tolerance).map(Scheme::Hmac),
        }
    }

    fn hmac(&self, tolerance: Span) -> Result<HmacScheme, (&'static str, String)> {
        let header = self.header.as_deref().ok_or_else(|| {
            (
                "header",
                "the scheme `hmac` needs the name of the header with the signature".to_owned(),
            )
        })?;
        let optional = |key, name: &Option<String>| {
            let name = name.as_deref();
            name.map(|name| header_name(key, name)).transpose()
        };
        let timestamp = optional("timestamp_header", &self.timestamp_header)?;
        if timestamp.is_none() && self.tolerance.is_some() {
            return Err(without_time());
        }
        let prefix = self.prefix.clone().unwrap_or_default();
        if prefix.len() > MAX_TEXT {
            return Err(("prefix", format!("it is longer than {MAX_TEXT} bytes")));
        }
        let scheme = HmacScheme {
            header: header_name("header", header)?,
            prefix,
            encoding: self.encoding.unwrap_or_default(),
            id: optional("id_header", &self.id_header)?,
            signed: match &self.signed {
                Some(signed) => parts(signed).map_err(|problem| ("signed", problem))?,
                None if timestamp.is_some() => {
                    let dot = SignedPart::Text(".".to_owned());
                    vec![SignedPart::Timestamp, dot, SignedPart::Body]
                }
                None => vec![SignedPart::Body],
            },
            timestamp: timestamp.map(|header| (header, tolerance)),
        };
        scheme.check().map_err(|problem| ("signed", problem))?;
        Ok(scheme)
    }
}

impl HmacScheme {
    /// Refuses parts whose header is not named, and a time that is not signed.
    fn check(&self) -> Result<(), String> {
        let count = |wanted: &SignedPart| self.signed.iter().filter(|part| *part == wanted).count();
        if count(&SignedPart::Body) != 1 {
            return Err("it has `{body}` exactly once".to_owned());
        }
        match (&self.timestamp, count(&SignedPart::Timestamp)) {
            (None, 1..) => return Err("`{timestamp}` needs a `timestamp_header`".to_owned()),
            (Some(_), 0) => {
                return Err(
                    "it lacks `{timestamp}`: a time that is not signed proves nothing; add it, or leave out \
                     `timestamp_header`"
                        .to_owned(),
                );
            }
            _ => {}
        }
        match (&self.id, count(&SignedPart::Id)) {
            (None, 1..) => Err("`{id}` needs an `id_header`".to_owned()),
            _ => Ok(()),
        }
    }
}

fn without_time() -> (&'static str, String) {
    let problem = "the sender signs no time, so there is nothing to compare; leave this key out";
    ("tolerance", problem.to_owned())
}

fn header_name(key: &'static str, name: &str) -> Result<HeaderName, (&'static str, String)> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| (key, format!("`{name}` is not the name of a header")))
}

/// The parts of `signed`: text with `{timestamp}`, `{id}` and `{body}`.
fn parts(signed: &str) -> Result<Vec<SignedPart>, String> {
    if signed.len() > MAX_TEXT {
        return Err(format!("it is longer than {MAX_TEXT} bytes"));
    }
    let mut parts = Vec::new();
    let mut rest = signed;
    while let Some((text, after)) = rest.split_once('{') {
        if !text.is_empty() {
            parts.push(SignedPart::Text(text.to_owned()));
        }
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| "a `{` has no `}`; write `{timestamp}`, `{id}` or `{body}`".to_owned())?;
        parts.push(match name {
            "timestamp" => SignedPart::Timestamp,
            "id" => SignedPart::Id,
            "body" => SignedPart::Body,
            other => {
                return Err(format!(
                    "`{{{other}}}` is unknown; write `{{timestamp}}`, `{{id}}` or `{{body}}`"
                ));
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(SignedPart::Text(rest.to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(more: &str) -> Result<WebhookSpec, String> {
        toml::from_str(&format!("name = 'in'\nsecrets = ['key']\njob = 'work'\n{more}"))
            .map_err(|error| error.to_string())
    }

    fn problem(more: &str) -> String {
        let (key, problem) = spec(more).unwrap().check().unwrap_err();
        format!("{key}: {problem}")
    }

    #[test]
    fn each_scheme_is_read() {
        let scheme = |more: &str| spec(more).unwrap().scheme().unwrap();
        let tolerance = Span::s(300);
        assert_eq!(scheme("scheme = 'stripe'"), Scheme::Stripe { tolerance });
        assert_eq!(scheme("scheme = 'github'"), Scheme::Github);
        let tolerance = Span::s(60);
        assert_eq!(
            scheme("scheme = 'standard'\ntolerance = '60s'"),
            Scheme::Standard { tolerance }
        );
        let slack = "scheme = 'hmac'\nheader = 'X-Slack-Signature'\nprefix = 'v0='\n\
             timestamp_header = 'x-slack-request-timestamp'\nsigned = 'v0:{timestamp}:{body}'\n";
        let Scheme::Hmac(hmac) = scheme(slack) else {
            panic!("it is hmac");
        };
        assert_eq!(hmac.header.as_str(), "x-slack-signature");
        let text = |text: &str| SignedPart::Text(text.to_owned());
        assert_eq!(
            hmac.signed,
            [text("v0:"), SignedPart::Timestamp, text(":"), SignedPart::Body]
        );
        let Scheme::Hmac(plain) = scheme("scheme = 'hmac'\nheader = 'x'\nencoding = 'base64'") else {
            panic!("it is hmac");
        };
        assert_eq!(
            (plain.encoding, plain.signed),
            (Encoding::Base64, vec![SignedPart::Body])
        );
        let Scheme::Hmac(timed) = scheme("scheme = 'hmac'\nheader = 'x'\ntimestamp_header = 't'") else {
            panic!("it is hmac");
        };
        assert_eq!(timed.signed, [SignedPart::Timestamp, text("."), SignedPart::Body]);
    }

    #[test]
    fn what_could_never_work_is_refused_with_its_key() {
        for (more, wanted) in [
            (
                "scheme = 'stripe'\nprefix = 'x'",
                "prefix: this key is for the scheme `hmac` only",
            ),
            (
                "scheme = 'github'\ntolerance = '5s'",
                "tolerance: the sender signs no time",
            ),
            (
                "scheme = 'stripe'\ntolerance = '25h'",
                "tolerance: 25h is not between 1s and 24h",
            ),
            (
                "scheme = 'stripe'\ntolerance = '1ms'",
                "tolerance: 1ms is not between",
            ),
            ("scheme = 'hmac'", "header: the scheme `hmac` needs"),
            (
                "scheme = 'hmac'\nheader = 'a b'",
                "header: `a b` is not the name of a header",
            ),
            (
                "scheme = 'hmac'\nheader = 'x'\ntolerance = '5s'",
                "tolerance: the sender signs no time",
            ),
            (
                "scheme = 'hmac'\nheader = 'x'\nsigned = '{timestamp}{body}'",
                "signed: `{timestamp}` needs a `timestamp_header`",
            ),
            (
                "scheme = 'hmac'\nheader = 'x'\ntimestamp_header = 't'\nsigned = '{body}'",
                "signed: it lacks `{timestamp}`",
            ),
            (
                "scheme = 'hmac'\nheader = 'x'\nsigned = 'a'",
                "signed: it has `{body}` exactly once",
            ),
            (
                "scheme = 'hmac'\nheader = 'x'\nsigned = '{id}{body}'",
                "signed: `{id}` needs an `id_header`",
            ),
            (
                "scheme = 'hmac'\nheader = 'x'\nsigned = '{path}{body}'",
                "signed: `{path}` is unknown",
            ),
            (
                "scheme = 'hmac'\nheader = 'x'\nsigned = '{body'",
                "signed: a `{` has no `}`",
            ),
        ] {
            let problem = problem(more);
            assert!(problem.contains(wanted), "{problem} does not contain {wanted}");
        }
        let with = |secrets: &str| WebhookSpec {
            secrets: secrets.split_terminator(',').map(str::to_owned).collect(),
            ..spec("scheme = 'github'").unwrap()
        };
        for (secrets, wanted) in [
            ("", "name 1 to 5 secrets"),
            ("a,b,c,d,e,f", "name 1 to 5 secrets"),
            ("a b", "no secret can be named `a b`"),
            ("a,a", "named twice"),
        ] {
            let (key, problem) = with(secrets).check().unwrap_err();
            assert!(key == "secrets" && problem.contains(wanted), "{problem}");
        }
        assert!(spec("scheme = 'sha1'").is_err());
        assert!(spec("scheme = 'github'\nretries = 1").is_err());
    }
}
