//! The handlers that a component exports: found by name before it is compiled, and compared with
//! the contract's types after that.

use wasmparser::{Parser, Payload};
use wasmtime::component::types::{Component as ComponentType, ComponentItem};
use wasmtime::component::{Component, Linker};

use super::refusal::Refusal;
use crate::capability::bindings::http_types::{Request, Response};

/// The interface through which requests come.
const HTTP_HANDLER: &str = "mortise:plugin/http-handler";

/// The begin of the versions that this host serves.
const SERVED: &str = "0.1.";

const REBUILD: &str =
    "build the plugin with the SDK, or the WIT, of this host's version of the contract (0.1)";

/// Refuses a component without an HTTP handler whose manifest has routes.
pub fn require_http_handler(component: &[u8]) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    let mut other = None;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| super::scan::malformed(error).refusal())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| super::scan::malformed(error).refusal())?;
                    match export.name.name.strip_prefix(HTTP_HANDLER) {
                        Some(version) if is_served(version) => return Ok(()),
                        Some(_) => other = Some(export.name.name),
                        None => {}
                    }
                }
            }
            _ => {}
        }
    }
    Err(match other {
        Some(name) => Refusal::component(
            format!("the component exports `{name}`, but this host serves `{HTTP_HANDLER}@{SERVED}x`"),
            REBUILD,
        ),
        None => Refusal::component(
            format!("the manifest has routes, but the component exports no `{HTTP_HANDLER}`"),
            "export the interface `http-handler` of the contract (`mortise_sdk::export!` does it in Rust), or remove \
             the routes from plugin.toml",
        ),
    })
}

/// Refuses a component that cannot be linked, or whose handlers have other types than the
/// contract's.
pub fn check_types<T: 'static>(component: &Component, linker: &Linker<T>) -> Result<(), Refusal> {
    let types = linker
        .substituted_component_type(component)
        .map_err(|error| Refusal::component(format!("{error:#}"), REBUILD))?;
    let engine = linker.engine();
    for (name, export) in types.exports(engine) {
        let Some(version) = name.strip_prefix(HTTP_HANDLER) else {
            continue;
        };
        if !is_served(version) {
            continue;
        }
        let ComponentItem::ComponentInstance(handler) = export.ty else {
            return Err(other_types(name, "it is no interface"));
        };
        match handler.get_export(engine, "handle").map(|function| function.ty) {
            Some(ComponentItem::ComponentFunc(function)) => is_handle(&function, &types)
                .map_err(|error| other_types(name, &format!("`handle`: {error:#}")))?,
            Some(_) => return Err(other_types(name, "`handle` is no function")),
            None => return Err(other_types(name, "it has no function `handle`")),
        }
    }
    Ok(())
}

fn is_handle(
    function: &wasmtime::component::types::ComponentFunc,
    types: &ComponentType,
) -> wasmtime::Result<()> {
    function.typecheck::<(&Request,), (Response,)>(&types.instance_type())
}

fn other_types(export: &str, problem: &str) -> Refusal {
    Refusal::component(
        format!("the export `{export}` has other types than the contract: {problem}"),
        REBUILD,
    )
}

/// `@0.1.7` and its like.
fn is_served(version: &str) -> bool {
    version
        .strip_prefix('@')
        .is_some_and(|version| version.starts_with(SERVED))
}
