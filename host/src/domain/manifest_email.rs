//! The part of a manifest about mail: the senders, and the folder of the templates.

use serde::{Deserialize, Serialize};

use super::mail_address::Sender;
use super::manifest::{Manifest, ManifestError, meaning};

/// The most senders of a plugin. Those of every active version are held in memory.
const MAX_SENDERS: usize = 50;

/// Mail that the plugin sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmailSection {
    /// Addresses that the plugin sends from, or `@example.com` for all of a domain. The first
    /// address is used if a mail names none.
    pub from: Vec<Sender>,
    /// Folder of the templates inside the plugin.
    pub templates: Option<String>,
}

impl Manifest {
    /// The folder of the mail templates, if the plugin has some.
    pub fn templates(&self) -> Option<&str> {
        self.email.templates.as_deref()
    }
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
    let count = email.from.len();
    if count > MAX_SENDERS {
        let problem = format!("{count} addresses are more than {MAX_SENDERS}");
        return Err(meaning("email.from", problem));
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
        let from: Vec<String> = manifest.email.from.iter().map(ToString::to_string).collect();
        assert_eq!(from, ["shop@example.com"]);
        assert_eq!(manifest.templates(), Some("templates"));
        assert_eq!(parsed("").unwrap().email, EmailSection::default());
        let json = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&json).unwrap(), manifest);
    }

    #[test]
    fn templates_without_a_sender_and_unknown_keys_are_refused() {
        let error = parsed("[email]\ntemplates = 't'").unwrap_err();
        assert!(error.contains("email.from: the plugin has templates"), "{error}");
        let error = parsed("[email]\nfrom = ['shop']").unwrap_err();
        assert!(error.contains("`shop` is no mail address"), "{error}");
        let error = parsed("[email]\nfolder = 't'").unwrap_err();
        assert!(error.contains("unknown field `folder`"), "{error}");
    }
}
