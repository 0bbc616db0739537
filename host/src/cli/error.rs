//! Errors of the command line, with hints.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::components::bundle::BundleError;
use crate::domain::grant::MissingGrant;
use crate::domain::problem::Code;
use crate::http::hint::Hint;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The host answered with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The host could not be reached, or the connection broke.
    #[error("cannot reach the host at {host}: {problem}")]
    Unreachable {
        /// Address of the host.
        host: String,
        /// The network error.
        problem: String,
    },
    /// The host sent an unexpected response.
    #[error("the response of {host} is not valid: {problem}")]
    Answer {
        /// Address of the host.
        host: String,
        /// What is wrong with the response.
        problem: String,
    },
    /// The host answered in a form that this version does not know.
    #[error("the answer of {host} has a form that this mortise does not know: {problem}")]
    OtherVersion {
        /// Who answered.
        host: String,
        /// What differs.
        problem: String,
    },
    /// The plugin cannot be bundled.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Standard output cannot be written to.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
    /// The arguments are valid alone but not together.
    #[error("{0}")]
    Usage(String),
    /// Any other failure.
    #[error("{message}")]
    Failed {
        /// What failed.
        message: String,
        /// What to do about it; may be empty.
        hint: String,
    },
}

/// A problem response of the admin API (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable error code.
    pub code: String,
    /// A short name for the code.
    pub title: String,
    /// What is wrong with this request.
    pub detail: Option<String>,
    /// The id of the request in the host's log.
    pub request_id: Option<String>,
    /// The invalid parts of the body.
    pub errors: Vec<Place>,
    /// What to do next, if the host sent a hint.
    pub hint: Option<String>,
    /// Grants that the manifest asks for and the tenant has not given.
    pub missing: Vec<Missing>,
    /// All members of the response.
    #[serde(skip)]
    pub members: Map<String, Value>,
}

impl Problem {
    /// Parses a problem; `None` if the text is not a problem.
    pub fn read(text: &[u8]) -> Option<Self> {
        let members: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let problem: Self = serde_json::from_value(Value::Object(members.clone())).ok()?;
        (!problem.code.is_empty()).then_some(Self { members, ..problem })
    }
}

/// A grant that the manifest asks for and the tenant has not given.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Missing {
    /// A grant that this version knows.
    Known(MissingGrant),
    /// A grant of a newer host.
    Other(Value),
}

/// An invalid part of a body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Place {
    /// JSON pointer to the part.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl CliError {
    /// An error with a hint. An empty hint is omitted.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A file that cannot be read or written.
    pub fn file(verb: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::failed(format!("cannot {verb} {}: {error}", path.display()), "")
    }

    /// The hint.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => {
                let hint = problem.hint.clone().filter(|hint| !hint.is_empty());
                // A host of an earlier version omits hints that follow from the code.
                let by_code = || Hint::Code(Code::named(&problem.code)?).text();
                hint.or_else(|| by_code().map(str::to_owned))
            }
            Self::Unreachable { .. } => Some(
                "start it with `mortise serve`, or name another with --host or MORTISE_HOST (the admin listener)".into(),
            ),
            Self::Answer { .. } => {
                Some("--host must be the address of the admin listener, http://127.0.0.1:8081 by default".into())
            }
            Self::OtherVersion { .. } => Some(
                concat!(
                    "this command is mortise ",
                    env!("CARGO_PKG_VERSION"),
                    ", and the host seems to have another version: use the command of the version of the host"
                )
                .into(),
            ),
            // The same words as those of the host, which checks the same again.
            Self::Bundle(error) => Some(error.refusal().hint),
            Self::Output(_) | Self::Usage(_) => None,
            Self::Failed { hint, .. } => Some(hint.clone()).filter(|hint| !hint.is_empty()),
        }
    }
}

impl CliError {
    /// The error as JSON, for `--json`: `error`, `hint` if there is one, and the members of the
    /// host's problem.
    pub fn to_json(&self) -> Value {
        let mut members = match self {
            Self::Problem(problem) => problem.members.clone(),
            _ => Map::new(),
        };
        let message = match self {
            Self::Problem(problem) => problem.sentence().to_owned(),
            error => error.to_string(),
        };
        members.insert("error".to_owned(), message.into());
        if let Some(hint) = self.hint() {
            members.insert("hint".to_owned(), hint.into());
        }
        Value::Object(members)
    }

    /// Whether the same request may succeed later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Answer { .. } | Self::OtherVersion { .. } => true,
            Self::Problem(problem) => problem.status >= 500 || problem.status == 429,
            _ => false,
        }
    }

    /// Exit code of the failed command.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }
}

impl Problem {
    /// The sentence for people.
    fn sentence(&self) -> &str {
        let detail = self.detail.as_deref().filter(|detail| !detail.is_empty());
        detail.unwrap_or(&self.title)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sentence())?;
        match &self.request_id {
            Some(id) => write!(f, " ({}, request {id})", self.code)?,
            None => write!(f, " ({})", self.code)?,
        }
        for Place { pointer, detail } in &self.errors {
            write!(
                f,
                "\n  {}: {detail}",
                if pointer.is_empty() { "body" } else { pointer }
            )?;
        }
        for missing in &self.missing {
            match missing {
                Missing::Known(grant) => write!(f, "\n  missing: {}", describe_missing(grant))?,
                Missing::Other(grant) => write!(f, "\n  missing: {grant}")?,
            }
        }
        Ok(())
    }
}

/// The message of a JSON error without line and column, for JSON that no person wrote.
pub fn without_position(error: &serde_json::Error) -> String {
    let said = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    said.strip_suffix(&position).unwrap_or(&said).to_owned()
}

/// A missing grant in words.
pub fn describe_missing(missing: &MissingGrant) -> String {
    match missing {
        MissingGrant::Database => "the tenant's database".to_owned(),
        MissingGrant::Http { name } => format!("requests to {name}"),
        MissingGrant::SecretOrigin { name, origin } => format!("sending the secret `{name}` to {origin}"),
        MissingGrant::SecretUse { name } => format!("use of the secret `{name}`"),
        MissingGrant::SecretReveal { name } => format!("plain text of the secret `{name}`"),
        MissingGrant::Event { name } => format!("publishing events on `{name}`"),
        MissingGrant::Email { name } => format!("mail from {name}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_says_what_where_and_what_next() {
        let problem = json!({
            "type": "/-/problems/grants-missing", "title": "Grants missing", "status": 422, "code": "grants-missing",
            "detail": "the manifest asks for what the tenant has not granted", "request_id": "r1",
            "missing": [
                {"kind": "database"},
                {"kind": "http", "name": "https://api.example.com"},
                {"kind": "secret-origin", "name": "key", "origin": "https://api.example.com"},
            ],
        });
        let problem = Problem::read(problem.to_string().as_bytes()).unwrap();
        let error = CliError::Problem(Box::new(problem));
        assert_eq!(
            error.to_string(),
            "the manifest asks for what the tenant has not granted (grants-missing, request r1)\n  \
             missing: the tenant's database\n  missing: requests to https://api.example.com\n  \
             missing: sending the secret `key` to https://api.example.com"
        );
        assert!(error.hint().unwrap().contains("--grant"));
        let data = error.to_json();
        assert_eq!(
            data["error"],
            "the manifest asks for what the tenant has not granted"
        );
        assert_eq!(data["request_id"], "r1");
        assert_eq!(data["missing"][0], json!({"kind": "database"}));
        assert!(data["hint"].as_str().unwrap().contains("--grant"), "{data}");
    }

    #[test]
    fn a_title_stands_in_for_a_detail() {
        let problem = Problem {
            title: "Not found".into(),
            code: "not-found".into(),
            ..Problem::default()
        };
        assert_eq!(problem.to_string(), "Not found (not-found)");
    }

    #[test]
    fn what_the_host_says_to_do_comes_before_what_the_code_says() {
        let hint = |hint: Option<&str>, code: &str| {
            let problem = Problem {
                code: code.into(),
                hint: hint.map(str::to_owned),
                ..Problem::default()
            };
            CliError::Problem(Box::new(problem)).hint()
        };
        assert_eq!(hint(Some("mine"), "internal").unwrap(), "mine");
        assert_eq!(
            hint(None, "internal").as_deref(),
            Hint::Code(Code::Internal).text()
        );
        assert_eq!(hint(None, "of-a-newer-host"), None);
    }
}
