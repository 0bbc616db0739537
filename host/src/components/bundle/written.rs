//! Writes the contract into a manifest, for `mortise build`.

use super::BundleError;
use crate::domain::manifest::{Contract, ManifestError, meaning};

/// Adds the contract to a manifest, under `[plugin]`. Refused if the manifest names another
/// contract.
pub fn with_contract(text: &str, contract: Contract) -> Result<String, BundleError> {
    let wrong = |problem: String| meaning("plugin.contract", problem);
    let table: toml::Table =
        toml::from_str(text).map_err(|error| ManifestError::Form(error.to_string().trim_end().to_owned()))?;
    if let Some(named) = table.get("plugin").and_then(|plugin| plugin.get("contract")) {
        let problem = format!(
            "the component was built for contract {contract}, and the manifest says {named}; leave the key out, or build \
             the component for that contract"
        );
        return Err(wrong(problem).into());
    }
    let mut written = String::with_capacity(text.len() + 32);
    let mut is_written = false;
    for line in text.split_inclusive('\n') {
        written.push_str(line);
        let content = line.split('#').next().unwrap_or_default().trim();
        if !is_written && content == "[plugin]" {
            if !line.ends_with('\n') {
                written.push('\n');
            }
            written.push_str(&format!("contract = \"{contract}\"\n"));
            is_written = true;
        }
    }
    match is_written {
        true => Ok(written),
        false => {
            let problem =
                format!("there is no line `[plugin]` to write it below; write `contract = \"{contract}\"`");
            Err(wrong(problem).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_is_written_once_below_the_section_of_the_plugin() {
        let text = "# [plugin]\n[limits]\n [plugin] # mine\nname = 'p'\nversion = '1'\n";
        assert_eq!(
            with_contract(text, Contract::V0_2).unwrap(),
            "# [plugin]\n[limits]\n [plugin] # mine\ncontract = \"0.2\"\nname = 'p'\nversion = '1'\n"
        );
    }

    #[test]
    fn what_an_author_wrote_is_not_changed() {
        let text = "[plugin]\ncontract = '0.1'\n";
        let error = with_contract(text, Contract::V0_2).unwrap_err().to_string();
        assert!(
            error.contains("built for contract 0.2, and the manifest says \"0.1\""),
            "{error}"
        );
        let error = with_contract("plugin = { name = 'p' }\n", Contract::V0_2)
            .unwrap_err()
            .to_string();
        assert!(error.contains("write `contract = \"0.2\"`"), "{error}");
    }
}
