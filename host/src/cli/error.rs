//! What goes wrong on the command line, and what to do about it.

use serde::Deserialize;
use serde_json::Value;

use crate::components::bundle::BundleError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The host refused, with a reason.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// The host was not reached, or the connection broke.
    #[error("cannot reach the host at {host}: {problem}")]
    Unreachable {
        /// Where it was looked for.
        host: String,
        /// What the network said.
        problem: String,
    },
    /// The host answered what it should not.
    #[error("the answer of {host} cannot be understood: {problem}")]
    Answer {
        /// Who answered.
        host: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The plugin cannot be bundled.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Standard output cannot be written to.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] std::io::Error),
    /// Something else, with what to do about it.
    #[error("{message}")]
    Failed {
        /// What failed.
        message: String,
        /// What to do about it, or nothing.
        hint: String,
    },
}

/// A problem as the admin API reports it (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The status.
    pub status: u16,
    /// The stable code.
    pub code: String,
    /// A short name of the code.
    pub title: String,
    /// What happened here.
    pub detail: Option<String>,
    /// What finds it in the host's log.
    pub request_id: Option<String>,
    /// Places of a body that are wrong.
    pub errors: Vec<Place>,
    /// What to do next, if the host says so.
    pub hint: Option<String>,
    /// Grants that a manifest asks for and the tenant has not given.
    pub missing: Vec<Value>,
}

/// A place of a body that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Place {
    /// JSON pointer.
    pub pointer: String,
    /// What is wrong there.
    pub detail: String,
}

impl CliError {
    /// An error with its hint; an empty hint is none.
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

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Problem(problem) => {
                let known = hint_for(&problem.code).map(str::to_owned);
                problem.hint.clone().filter(|hint| !hint.is_empty()).or(known)
            }
            Self::Unreachable { .. } => Some(
                "start it with `mortise serve`, or name another with --host or MORTISE_HOST (the admin listener)".into(),
            ),
            Self::Answer { .. } => {
                Some("--host must be the address of the admin listener, http://127.0.0.1:8081 by default".into())
            }
            Self::Bundle(BundleError::NoManifest) => {
                Some("`mortise build <folder> --component <file.wasm>` adds the manifest to a component".into())
            }
            Self::Bundle(_) | Self::Output(_) => None,
            Self::Failed { hint, .. } => Some(hint.clone()).filter(|hint| !hint.is_empty()),
        }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(
            self.detail
                .as_deref()
                .filter(|detail| !detail.is_empty())
                .unwrap_or(&self.title),
        )?;
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
            write!(f, "\n  missing: {}", describe_missing(missing))?;
        }
        Ok(())
    }
}

/// A missing grant, `{"kind": "http", "name": "https://…"}`, as people read it.
pub fn describe_missing(missing: &Value) -> String {
    let text = |key: &str| missing.get(key).and_then(Value::as_str);
    match (text("kind"), text("name")) {
        (Some("database"), _) => "the tenant's database".to_owned(),
        (Some("http"), Some(origin)) => format!("requests to {origin}"),
        (Some("secret-origin"), Some(name)) => {
            let origin = text("origin").unwrap_or_default();
            format!("sending the secret `{name}` to {origin}")
        }
        (Some("secret-use"), Some(name)) => format!("use of the secret `{name}`"),
        (Some("secret-reveal"), Some(name)) => format!("plain text of the secret `{name}`"),
        _ => missing.to_string(),
    }
}

fn hint_for(code: &str) -> Option<&'static str> {
    Some(match code {
        "unauthenticated" => {
            "pass a token with --token-file, MORTISE_TOKEN or --token; the host writes the operator's to \
             operator.token in its data folder"
        }
        "insufficient-scope" => "this needs a token of a higher role; `mortise tokens create` makes one",
        "not-found" => "`mortise tenants list` and `mortise plugins list --tenant …` show what there is",
        "conflict" => "the name is taken or in use; list what is there first",
        "body-too-large" => "the tenant's plan bounds uploads; `mortise plans list` shows it",
        "invalid-manifest" => "correct plugin.toml, or what it names, at this place and build again",
        "compile-limit" => {
            "make the plugin smaller: build it optimised (`mortise build` does) and with fewer dependencies"
        }
        "grants-missing" => "`mortise deploy … --grant` grants exactly what the manifest asks for",
        "migration-failed" => {
            "nothing of it was applied, and the version before still serves; correct what is named above, and leave \
             files alone that were applied before"
        }
        "rate-limited" | "overloaded" | "draining" => "try again in a moment",
        "internal" => "the host's own log has the cause under the request id",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_says_what_where_and_what_next() {
        let problem: Problem = serde_json::from_value(json!({
            "type": "/-/problems/grants-missing", "title": "Grants missing", "status": 422, "code": "grants-missing",
            "detail": "the manifest asks for what the tenant has not granted", "request_id": "r1",
            "missing": [
                {"kind": "database"},
                {"kind": "http", "name": "https://api.example.com"},
                {"kind": "secret-origin", "name": "key", "origin": "https://api.example.com"},
            ],
        }))
        .unwrap();
        let error = CliError::Problem(Box::new(problem));
        assert_eq!(
            error.to_string(),
            "the manifest asks for what the tenant has not granted (grants-missing, request r1)\n  \
             missing: the tenant's database\n  missing: requests to https://api.example.com\n  \
             missing: sending the secret `key` to https://api.example.com"
        );
        assert!(error.hint().unwrap().contains("--grant"));
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
    fn every_hint_is_for_a_code_that_exists() {
        let with_hint = crate::http::problem::Code::ALL
            .iter()
            .filter(|code| hint_for(code.as_str()).is_some())
            .count();
        assert_eq!(with_hint, 13);
    }
}
