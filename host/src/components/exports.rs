//! Checks the handlers that a component exports: their names before compilation, and their types
//! after it.

use wasmparser::{Parser, Payload};
use wasmtime::component::types::{Component as ComponentType, ComponentFunc, ComponentItem};
use wasmtime::component::{Component, Linker};

use super::contract;
use super::refusal::Refusal;
use crate::capability::bindings::{v0_1, v0_2};
use crate::domain::manifest::{Contract, Manifest};

/// The interface for requests.
const HTTP_HANDLER: &str = "mortise:plugin/http-handler";

/// The interface for calls of functions.
const FUNCTION_HANDLER: &str = "mortise:plugin/function-handler";

/// The interface for jobs.
const JOB_HANDLER: &str = "mortise:plugin/job-handler";

type TypeCheck = fn(&ComponentFunc, &ComponentType, Contract) -> wasmtime::Result<()>;

const REBUILD: &str = "build the plugin with the SDK, or the WIT, of a version of the contract that this host serves \
                       (0.1, 0.2)";

/// Refuses a component that lacks a handler for its manifest's routes, functions or jobs.
pub fn require_handlers(component: &[u8], manifest: &Manifest) -> Result<(), Refusal> {
    if !manifest.routes.is_empty() {
        require(component, HTTP_HANDLER, "routes", "`mortise_sdk::routes!`")?;
    }
    if !manifest.functions.is_empty() {
        require(
            component,
            FUNCTION_HANDLER,
            "functions",
            "`mortise_sdk::functions!`",
        )?;
    }
    if !manifest.jobs.is_empty() {
        require(component, JOB_HANDLER, "jobs", "`mortise_sdk::jobs!`")?;
    }
    Ok(())
}

fn require(component: &[u8], handler: &str, what: &str, written_by: &str) -> Result<(), Refusal> {
    let mut depth = 0_usize;
    let mut other = None;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(|error| super::scan::malformed(error).refusal())? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| super::scan::malformed(error).refusal())?;
                    let name = export.name.name;
                    match (interface(name) == handler, contract::served(name)) {
                        (true, Some(_)) => return Ok(()),
                        (true, None) => other = Some(name),
                        (false, _) => {}
                    }
                }
            }
            _ => {}
        }
    }
    Err(match other {
        Some(name) => Refusal::component(
            format!(
                "the component exports `{name}`, but this host serves `{handler}` of the contracts 0.1 and 0.2"
            ),
            REBUILD,
        ),
        None => Refusal::component(
            format!("the manifest has {what}, but the component exports no `{handler}`"),
            format!(
                "export the interface `{handler}` of the contract ({written_by} does it in Rust), or remove the {what} \
                 from plugin.toml"
            ),
        ),
    })
}

/// The name of an interface without the version.
fn interface(name: &str) -> &str {
    name.split_once('@').map_or(name, |(interface, _)| interface)
}

/// Refuses a component that cannot be linked, or whose handlers do not have the types of the
/// contract.
pub fn check_types<T: 'static>(component: &Component, linker: &Linker<T>) -> Result<(), Refusal> {
    let types = linker
        .substituted_component_type(component)
        .map_err(|error| Refusal::component(format!("{error:#}"), REBUILD))?;
    let engine = linker.engine();
    for (name, export) in types.exports(engine) {
        let Some(contract) = contract::served(name) else {
            continue;
        };
        let (function, typecheck): (&str, TypeCheck) = match interface(name) {
            HTTP_HANDLER => ("handle", check_handle),
            FUNCTION_HANDLER => ("call", check_call),
            JOB_HANDLER => ("run", check_run),
            _ => continue,
        };
        let ComponentItem::ComponentInstance(handler) = export.ty else {
            return Err(other_types(name, "it is no interface"));
        };
        match handler.get_export(engine, function).map(|function| function.ty) {
            Some(ComponentItem::ComponentFunc(found)) => typecheck(&found, &types, contract)
                .map_err(|error| other_types(name, &format!("`{function}`: {error:#}")))?,
            Some(_) => return Err(other_types(name, &format!("`{function}` is no function"))),
            None => return Err(other_types(name, &format!("it has no function `{function}`"))),
        }
    }
    Ok(())
}

fn check_handle(function: &ComponentFunc, types: &ComponentType, contract: Contract) -> wasmtime::Result<()> {
    use v0_1::http_types as old;
    use v0_2::http_types as new;
    let types = types.instance_type();
    match contract {
        Contract::V0_1 => function.typecheck::<(&old::Request,), (old::Response,)>(&types),
        Contract::V0_2 => function.typecheck::<(&new::Request,), (new::Response,)>(&types),
    }
}

fn check_call(function: &ComponentFunc, types: &ComponentType, contract: Contract) -> wasmtime::Result<()> {
    use v0_1::function_handler as old;
    use v0_2::function_handler as new;
    let types = types.instance_type();
    match contract {
        Contract::V0_1 => function.typecheck::<(&str, &str), (Result<String, old::Error>,)>(&types),
        Contract::V0_2 => function.typecheck::<(&str, &str), (Result<String, new::Error>,)>(&types),
    }
}

fn check_run(function: &ComponentFunc, types: &ComponentType, contract: Contract) -> wasmtime::Result<()> {
    use v0_1::job_handler as old;
    use v0_2::job_handler as new;
    let types = types.instance_type();
    match contract {
        Contract::V0_1 => function.typecheck::<(&old::Job,), (Result<(), old::Failure>,)>(&types),
        Contract::V0_2 => function.typecheck::<(&new::Job,), (Result<(), new::Failure>,)>(&types),
    }
}

fn other_types(export: &str, problem: &str) -> Refusal {
    Refusal::component(
        format!("the export `{export}` has other types than the contract: {problem}"),
        REBUILD,
    )
}
