//! Finds the contract version that a component was built for, from its imports and exports of
//! `mortise:plugin`.

use wasmparser::{Parser, Payload};

use super::refusal::Refusal;
use super::scan::malformed;
use crate::domain::manifest::{Contract, Manifest};

/// Prefix of the contract's interfaces.
const PACKAGE: &str = "mortise:plugin/";

/// The contract version of a component; `None` if it uses no interface of a version that this host
/// knows.
pub fn of(component: &[u8]) -> Result<Option<Contract>, Refusal> {
    let mut found: Option<(Contract, &str)> = None;
    let mut depth = 0_usize;
    let mut note = |name| match (found, served(name)) {
        (_, None) => Ok(()),
        (None, Some(contract)) => {
            found = Some((contract, name));
            Ok(())
        }
        (Some((known, _)), Some(contract)) if known == contract => Ok(()),
        (Some((_, first)), Some(_)) => Err(Refusal::component(
            format!("the component uses two versions of the contract: `{first}` and `{name}`"),
            "build all of the plugin with the WIT of one version of the contract",
        )),
    };
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| malformed(error).refusal())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    note(import.map_err(|error| malformed(error).refusal())?.name.name)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    note(export.map_err(|error| malformed(error).refusal())?.name.name)?;
                }
            }
            _ => {}
        }
    }
    Ok(found.map(|(contract, _)| contract))
}

/// The contract of an interface such as `mortise:plugin/log@0.1.0`, if this host serves it.
pub fn served(name: &str) -> Option<Contract> {
    let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Contract::ALL.into_iter().find(|contract| {
        let patch = version.strip_prefix(contract.as_str());
        patch.is_some_and(|patch| patch.starts_with('.'))
    })
}

/// Refuses a component whose contract version differs from that of its manifest.
pub fn check(component: &[u8], manifest: &Manifest) -> Result<(), Refusal> {
    let said = manifest.plugin.contract;
    match of(component)? {
        Some(built) if built != said => Err(Refusal::manifest(
            format!(
                "plugin.toml: plugin.contract: the component was built for contract {built}, and the manifest says {said}"
            ),
            format!(
                "write `contract = \"{built}\"` under [plugin], or leave the key out and let `mortise build` write it; or \
                 build the component for contract {said}"
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(format!("(component {text})")).unwrap()
    }

    fn imports(names: &[&str]) -> Vec<u8> {
        let import = |name: &&str| format!(r#"(import "{name}" (instance))"#);
        component(&names.iter().map(import).collect::<String>())
    }

    #[test]
    fn the_version_of_the_package_decides() {
        for (names, contract) in [
            (&[][..], None),
            (&["wasi:io/error@0.2.0"], None),
            (&["mortise:plugin/log"], None),
            (&["mortise:plugin/log@0.7.0"], None),
            (&["mortise:plugin/log@0.10.0"], None),
            (&["mortise:plugin/log@0.1.0"], Some(Contract::V0_1)),
            (
                &["mortise:plugin/log@0.1.7", "wasi:io/error@0.2.0"],
                Some(Contract::V0_1),
            ),
            (
                &["mortise:plugin/log@0.2.0", "mortise:plugin/cache@0.2.0"],
                Some(Contract::V0_2),
            ),
        ] {
            assert_eq!(of(&imports(names)).unwrap(), contract, "{names:?}");
        }
        let exports = r#"(instance $i) (export "mortise:plugin/http-handler@0.2.0" (instance $i))"#;
        assert_eq!(of(&component(exports)).unwrap(), Some(Contract::V0_2));
        let inside = r#"(component (import "mortise:plugin/log@0.1.0" (instance)))"#;
        assert_eq!(
            of(&component(inside)).unwrap(),
            None,
            "what stands inside is not the component's"
        );
    }

    #[test]
    fn a_component_of_two_versions_is_refused() {
        let mixed = imports(&["mortise:plugin/log@0.1.0", "mortise:plugin/cache@0.2.0"]);
        let message = of(&mixed).unwrap_err().message;
        assert_eq!(
            message,
            "the component uses two versions of the contract: `mortise:plugin/log@0.1.0` and \
             `mortise:plugin/cache@0.2.0`"
        );
    }

    #[test]
    fn manifest_and_component_have_to_agree() {
        let manifest = |contract: &str| {
            Manifest::parse(&format!("[plugin]\nname = 'p'\nversion = '1'\n{contract}")).unwrap()
        };
        let newer = imports(&["mortise:plugin/log@0.2.0"]);
        assert!(check(&newer, &manifest("contract = '0.2'")).is_ok());
        assert!(check(&imports(&[]), &manifest("contract = '0.2'")).is_ok());
        for contract in ["", "contract = '0.1'"] {
            let refusal = check(&newer, &manifest(contract)).unwrap_err();
            assert_eq!(
                refusal.message,
                "plugin.toml: plugin.contract: the component was built for contract 0.2, and the manifest says 0.1"
            );
            assert!(refusal.hint.contains("contract = \"0.2\""), "{}", refusal.hint);
        }
    }
}
