//! The inputs of a host, which consist of parts that can be removed one by one and stored in a
//! file.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// One input of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// The name of its kind.
    pub kind: String,
    /// Its parts; the kind defines the meaning of their names.
    pub parts: Vec<Part>,
}

/// A part of an input: some text or bytes with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its purpose.
    pub name: String,
    /// Its content, as a sequence of runs.
    pub runs: Vec<Run>,
}

/// A piece of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Run {
    Text(String),
    /// Bytes that are not text.
    Bytes {
        /// Hexadecimal digits.
        hex: String,
    },
    /// Text that is repeated. `{i}` in it is the number of the repetition, `{j}` the next number.
    Times {
        /// The number of repetitions.
        times: usize,
        /// The repeated text.
        text: String,
    },
}

/// The file format of a finding: inputs that harm a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What the host did.
    pub failure: String,
    /// The seed of the run.
    pub seed: u64,
    /// The inputs, all of which are needed.
    pub inputs: Vec<Input>,
}

impl Part {
    /// An empty part.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            runs: Vec::new(),
        }
    }

    /// Appends text.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.runs.push(Run::Text(text.into()));
        self
    }

    /// Appends repeated text.
    pub fn times(mut self, times: usize, text: impl Into<String>) -> Self {
        let text = text.into();
        self.runs.push(Run::Times { times, text });
        self
    }

    /// Appends bytes.
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.runs.push(Run::from_bytes(bytes.as_ref()));
        self
    }

    /// The content as bytes.
    pub fn content(&self) -> Vec<u8> {
        self.runs.iter().flat_map(Run::content).collect()
    }

    /// The content as text.
    pub fn to_text(&self) -> String {
        String::from_utf8_lossy(&self.content()).into_owned()
    }
}

impl Run {
    /// A run of these bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes {
                hex: hex::encode(bytes),
            },
        }
    }

    /// The bytes of the run. Invalid hexadecimal digits have none.
    pub fn content(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Bytes { hex } => hex::decode(hex).unwrap_or_default(),
            Self::Times { times, text } => {
                let counts = text.contains("{i}") || text.contains("{j}");
                let repetition = |index: usize| match counts {
                    true => text
                        .replace("{i}", &index.to_string())
                        .replace("{j}", &(index + 1).to_string()),
                    false => text.clone(),
                };
                (0..*times)
                    .flat_map(|index| repetition(index).into_bytes())
                    .collect()
            }
        }
    }
}

impl Finding {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// Writes a file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }
}

/// The parts with this name.
pub fn named<'a>(parts: &'a [Part], name: &'a str) -> impl Iterator<Item = &'a Part> {
    parts.iter().filter(move |part| part.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_put_together() {
        let part = Part::new("a").text("x").times(3, "{i}>{j},").bytes([0xff]);
        assert_eq!(part.content(), b"x0>1,1>2,2>3,\xff");
    }

    #[test]
    fn a_finding_is_read_as_it_was_written() {
        let folder = tempfile_folder();
        let path = folder.join("finding.json");
        let finding = Finding {
            failure: "the process ended".to_owned(),
            seed: 17,
            inputs: vec![Input {
                kind: "sql".to_owned(),
                parts: vec![Part::new("a").text("x").times(3, "y").bytes([0xff])],
            }],
        };
        finding.write(&path).unwrap();
        assert_eq!(Finding::read(&path).unwrap(), finding);
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn tempfile_folder() -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("mortise-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}
