//! The part of a manifest about mail: the senders, and the folder of the templates.

use serde::{Deserialize, Serialize};

use super::manifest::{Manifest, ManifestError, meaning};

/// Mail that the plugin sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailSection {
    /// Addresses that the plugin sends from. The first one is used if a mail names none.
    pub from: Vec<String>,
    /// Folder of the templates inside the plugin.
    pub templates: Option<String>,
}

/// Checks the values of this part of a manifest.
pub(super) fn check(manifest: &Manifest) -> Result<(), ManifestError> {
    let email = &manifest.email;
    if email.templates.is_some() && email.from.is_empty() {
        return Err(meaning(
            "email.from",
            "the plugin has templates, but no address that it sends from; list one",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(section: &str) -> Result<Manifest, String> {
        let text = format!("[plugin]\nname = 'p'\nversion = '1'\n{section}");
        Manifest::parse(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_section_is_read_and_may_be_absent() {
        let manifest = parsed("[email]\nfrom = ['shop@example.com']\ntemplates = 'templates'").unwrap();
        assert_eq!(manifest.email.from, ["shop@example.com"]);
        assert_eq!(manifest.email.templates.as_deref(), Some("templates"));
        assert_eq!(parsed("").unwrap().email, EmailSection::default());
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }

    #[test]
    fn templates_without_a_sender_and_unknown_keys_are_refused() {
        let error = parsed("[email]\ntemplates = 't'").unwrap_err();
        assert!(error.contains("email.from: the plugin has templates"), "{error}");
        let error = parsed("[email]\nfolder = 't'").unwrap_err();
        assert!(error.contains("unknown field `folder`"), "{error}");
    }
}
