//! The mail templates of a version, and what becomes of them.
//!
//! The files of one template share its name: `paid.subject`, and `paid.txt`, `paid.html` or
//! `paid.mjml`. A file whose name begins with `_` is a part that other files include.

use std::collections::BTreeMap;

/// The longest name of a template that an error quotes.
const MAX_SHOWN: usize = 80;

/// The extensions of the files, without the one of subjects.
const BODIES: [&str; 3] = ["txt", "html", "mjml"];

/// The mail templates of a version: the texts of the files by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Templates {
    files: BTreeMap<String, String>,
}

/// A rendered template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The subject: one line without control characters.
    pub subject: String,
    /// The text part. It is made from the HTML part if the template has no text.
    pub text: String,
    /// The HTML part.
    pub html: Option<String>,
}

/// Why a template was not rendered. The message is for the plugin's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// The version has no such template.
    #[error("{0}")]
    Unknown(String),
    /// The values are not a JSON object.
    #[error("the values of the template are not valid: {0}")]
    Values(String),
    /// The template does not accept these values, for example because one is missing.
    #[error("{0}")]
    Failed(String),
    /// Rendering exceeded a limit.
    #[error("rendering the template exceeded a limit: {0}")]
    Limit(String),
    /// No sandbox is free, or the host failed.
    #[error("templates cannot be rendered now: {0}")]
    Unavailable(String),
}

impl Templates {
    /// Templates with these files.
    pub fn new(files: BTreeMap<String, String>) -> Self {
        Self { files }
    }

    /// Whether there are no files.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// All files, by their names.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    /// The names of the templates.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.files.keys().filter_map(|file| file.strip_suffix(".subject"));
        names.filter(|name| !is_part(name))
    }

    /// Whether there is a template of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// The files that rendering a template needs: its own, and all parts.
    pub fn files_of(&self, name: &str) -> Result<Vec<(&str, &str)>, RenderError> {
        if !self.contains(name) {
            return Err(self.unknown(name));
        }
        let is_needed = |file: &str| {
            let own = file.rsplit_once('.').is_some_and(|(stem, _)| stem == name);
            own || is_part(file)
        };
        let files = self.files.iter().filter(|(file, _)| is_needed(file));
        Ok(files.map(|(file, text)| (file.as_str(), text.as_str())).collect())
    }

    fn unknown(&self, name: &str) -> RenderError {
        let names: Vec<&str> = self.names().collect();
        let known = match names.is_empty() {
            true => format!(
                "it has none; put NAME.subject and NAME.{} into the folder that [email] templates names",
                BODIES.join(" or NAME.")
            ),
            false => format!("it has {}", names.join(", ")),
        };
        let shown: String = name.chars().take(MAX_SHOWN).collect();
        RenderError::Unknown(format!("the plugin has no template `{shown}`; {known}"))
    }
}

/// Whether a file is a part that other files include.
fn is_part(file: &str) -> bool {
    file.starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn templates(files: &[&str]) -> Templates {
        let files = files.iter().map(|file| ((*file).to_owned(), "x".to_owned()));
        Templates::new(files.collect())
    }

    #[test]
    fn a_template_needs_its_own_files_and_all_parts() {
        let all = [
            "_footer.html",
            "paid.html",
            "paid.subject",
            "paid-late.subject",
            "paid-late.txt",
        ];
        let templates = templates(&all);
        assert_eq!(templates.names().collect::<Vec<_>>(), ["paid-late", "paid"]);
        let files = templates.files_of("paid").unwrap();
        let files: Vec<&str> = files.iter().map(|(file, _)| *file).collect();
        assert_eq!(files, ["_footer.html", "paid.html", "paid.subject"]);
    }

    #[test]
    fn an_unknown_template_is_named_with_those_that_exist() {
        let error = templates(&["paid.subject"]).files_of("pai").unwrap_err();
        assert_eq!(error.to_string(), "the plugin has no template `pai`; it has paid");
        let error = templates(&[]).files_of(&"x".repeat(500)).unwrap_err().to_string();
        assert!(
            error.len() < 300 && error.contains("it has none; put NAME.subject"),
            "{error}"
        );
        assert!(templates(&["_part.subject"]).files_of("_part").is_err());
    }
}
