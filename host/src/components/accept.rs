//! Checks and compiles uploaded bytes. This runs only in the compile worker, a process that can be
//! killed.

use std::collections::BTreeSet;

use wasmparser::Validator;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use super::bundle::{Bundle, SECTION};
use super::compile::protocol::{DescribedManifest, Description};
use super::features::FEATURES;
use super::listed::check_listed;
use super::refusal::Refusal;
use super::shield::Shield;
use super::uses::{self, Uses};
use super::{contract, exports, imports};
use crate::domain::id::PluginName;

/// Reads and checks an upload for `plugin`, before it is compiled.
pub fn upload<T: 'static>(
    component: &[u8],
    plugin: &PluginName,
    shield: &Shield,
    linker: &Linker<T>,
) -> Result<Description, Refusal> {
    let section = super::scan::scan(component, SECTION).map_err(|error| error.refusal())?;
    validate(component)?;
    let bundle = Bundle::of_section(section).map_err(|error| error.refusal())?;
    if bundle.manifest.plugin.name != *plugin {
        return Err(Refusal::manifest(
            format!(
                "plugin.toml: plugin.name is `{}`, but the upload is for `{plugin}`",
                bundle.manifest.plugin.name
            ),
            "upload it under the name that the manifest has, or change plugin.name and build again",
        ));
    }
    let uses = uses(component)?;
    refuse_shielded(shield, &uses)?;
    imports::check(&uses, linker)?;
    contract::check(component, &bundle.manifest)?;
    exports::require_handlers(component, &bundle.manifest)?;
    check_listed(component, &bundle.manifest)?;
    Ok(Description {
        manifest: Some(DescribedManifest {
            manifest: bundle.manifest,
            text: bundle.manifest_text,
        }),
        uses,
    })
}

/// Checks a component that was accepted earlier. Newer limits on uploads do not apply, but what the
/// engine cannot run is refused.
pub fn stored(component: &[u8]) -> Result<Description, Refusal> {
    validate(component)?;
    Ok(Description {
        manifest: None,
        uses: uses(component)?,
    })
}

/// Finds what a component uses, also if this host does not run it.
pub fn inspect(component: &[u8]) -> Result<Description, Refusal> {
    Ok(Description {
        manifest: None,
        uses: uses(component)?,
    })
}

/// Compiles a checked component.
pub fn compile<T: 'static>(
    engine: &Engine,
    component: &[u8],
    linker: &Linker<T>,
) -> wasmtime::Result<Result<Vec<u8>, Refusal>> {
    let component = Component::from_binary(engine, component)?;
    if let Err(refusal) = exports::check_types(&component, linker) {
        return Ok(Err(refusal));
    }
    component.serialize().map(Ok)
}

/// Refuses a component that matches a rule of the shield.
pub fn refuse_shielded(shield: &Shield, uses: &Uses) -> Result<(), Refusal> {
    let rules = shield.matching(uses);
    if rules.is_empty() {
        return Ok(());
    }
    Err(Refusal::component(
        format!(
            "the operator of this host refuses what the component uses at the moment (shield: {})",
            rules.join(", ")
        ),
        "build the plugin without it, or ask the operator how long the rule will stay",
    ))
}

fn validate(component: &[u8]) -> Result<(), Refusal> {
    let Err(error) = Validator::new_with_features(FEATURES).validate_all(component) else {
        return Ok(());
    };
    let refused = uses::refused_proposals(component);
    if refused.is_empty() {
        return Err(super::scan::malformed(error).refusal());
    }
    let mut refusal = refused_proposals(&refused);
    refusal.message = format!(
        "{}: {} at byte {:#x}",
        refusal.message,
        error.message(),
        error.offset()
    );
    Err(refusal.bounded())
}

/// The refusal of a component that needs proposals which this host does not enable.
pub fn refused_proposals(proposals: &BTreeSet<String>) -> Refusal {
    let names: Vec<&str> = proposals.iter().map(String::as_str).collect();
    let names = names.join(", ");
    Refusal::component(
        format!("the component uses a WebAssembly proposal that this host does not run ({names})"),
        format!("switch it off in the compiler or the tool that made the component: {names}"),
    )
}

fn uses(component: &[u8]) -> Result<Uses, Refusal> {
    Uses::of(component).map_err(|error| {
        Refusal::component(
            error.to_string(),
            "import only the interfaces that the plugin uses",
        )
    })
}
