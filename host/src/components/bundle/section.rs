//! Encodes and decodes the custom section with the bundle.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wasm_encoder::{CustomSection, Section as _};

use super::{BundleError, MAX_SECTION_BYTES, SECTION};

/// The only known format. Others are refused.
const FORMAT: u32 = 1;

/// The content of the section as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    format: u32,
    /// The text of `plugin.toml`.
    pub manifest: String,
    /// The migrations in the order of their numbers.
    #[serde(default)]
    pub migrations: Vec<MigrationFile>,
    /// The schemas by their paths in the manifest. They stay text, so that deeply nested JSON of an
    /// upload is not parsed here.
    #[serde(default)]
    schemas: BTreeMap<String, Box<RawValue>>,
    /// The files of the mail templates by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<String, String>,
}

/// A migration as a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MigrationFile {
    /// Name of the file, without a folder.
    pub file: String,
    /// Content of the file.
    pub sql: String,
}

impl Content {
    /// Creates content of the current format.
    pub fn new(
        manifest: String,
        migrations: Vec<MigrationFile>,
        schemas: &BTreeMap<String, String>,
        templates: BTreeMap<String, String>,
    ) -> Result<Self, BundleError> {
        let mut raw = BTreeMap::new();
        for (file, text) in schemas {
            let schema = RawValue::from_string(text.clone()).map_err(|error| BundleError::Schema {
                file: file.clone(),
                problem: error.to_string(),
            })?;
            raw.insert(file.clone(), schema);
        }
        Ok(Self {
            format: FORMAT,
            manifest,
            migrations,
            schemas: raw,
            templates,
        })
    }

    /// The schemas as text.
    pub fn schemas(&self) -> BTreeMap<String, String> {
        let schemas = self.schemas.iter();
        schemas
            .map(|(file, schema)| (file.clone(), schema.get().to_owned()))
            .collect()
    }

    /// Parses the content of a section, which a customer wrote.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        check_size(bytes.len())?;
        // The format is checked first, so that an unknown format is reported as such.
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let form = |error: serde_json::Error| BundleError::Section(error.to_string());
        let Format { format } = serde_json::from_slice(bytes).map_err(form)?;
        if format != FORMAT {
            let problem = format!("format {format} is not known to this host, which reads format {FORMAT}");
            return Err(BundleError::Section(problem));
        }
        serde_json::from_slice(bytes).map_err(form)
    }

    /// Encodes the section, to be appended to a component.
    pub fn to_section(&self) -> Result<Vec<u8>, BundleError> {
        let data = serde_json::to_vec(self).map_err(|error| BundleError::Section(error.to_string()))?;
        check_size(data.len())?;
        let custom = CustomSection {
            name: SECTION.into(),
            data: data.into(),
        };
        let mut section = Vec::new();
        custom.append_to(&mut section);
        Ok(section)
    }
}

fn check_size(bytes: usize) -> Result<(), BundleError> {
    if bytes <= MAX_SECTION_BYTES {
        return Ok(());
    }
    let problem = format!(
        "{bytes} bytes of manifest, migrations, schemas and templates are more than {MAX_SECTION_BYTES}"
    );
    Err(BundleError::Section(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_format_is_called_that() {
        let error = Content::parse(br#"{"format": 2, "parts": []}"#)
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("format 2 is not known"), "{error}");
    }

    #[test]
    fn other_json_is_refused() {
        for (json, wanted) in [
            ("[", "EOF while parsing"),
            ("{}", "missing field `format`"),
            (r#"{"format": 1}"#, "missing field `manifest`"),
            (
                r#"{"format": 1, "manifest": "", "extra": 1}"#,
                "unknown field `extra`",
            ),
        ] {
            let error = Content::parse(json.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_section_larger_than_may_be_is_refused_unread() {
        let error = Content::parse(&vec![b' '; MAX_SECTION_BYTES + 1])
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("are more than 4194304"), "{error}");
    }
}
