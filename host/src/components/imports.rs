//! Refuses imports that this host does not offer, before compilation, and suggests replacements.

use std::collections::BTreeMap;

use wasmtime::component::Linker;

use super::refusal::Refusal;
use super::uses::Uses;

/// Patch versions to try. WASI's are lower.
const PATCHES: u32 = 64;

/// The most unknown imports in one message.
const NAMED: usize = 20;

/// Replacements for interfaces of other hosts.
const INSTEAD: [(&str, &str); 10] = [
    (
        "wasi:http/",
        "use mortise:plugin/http-client for requests to others, and export mortise:plugin/http-handler instead of \
         wasi:http/incoming-handler",
    ),
    (
        "wasi:keyvalue/",
        "use mortise:plugin/cache, or mortise:plugin/database for data that must be kept",
    ),
    ("wasi:config/", "use mortise:plugin/config"),
    (
        "wasi:logging/",
        "use mortise:plugin/log, or print to standard output",
    ),
    ("wasi:sql/", "use mortise:plugin/database"),
    ("wasi:messaging/", "use mortise:plugin/events"),
    ("wasi:blobstore/", "use mortise:plugin/database"),
    ("wasi:nn/", "this host does not offer machine learning"),
    (
        "spin:",
        "use mortise:plugin/cache, database and http-client; Spin's own interfaces are not served",
    ),
    (
        "fermyon:",
        "use mortise:plugin/cache, database and http-client; Spin's own interfaces are not served",
    ),
];

/// Refuses a component with imports that `linker` does not define. The message names all of them.
pub fn check<T: 'static>(uses: &Uses, linker: &Linker<T>) -> Result<(), Refusal> {
    let mut offered = BTreeMap::new();
    let mut unknown = Vec::new();
    for import in uses.imports.iter().filter(|import| !import.contains('#')) {
        let is_offered = *offered
            .entry(track(import))
            .or_insert_with(|| is_offered(import, linker));
        if !is_offered {
            unknown.push(import.as_str());
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let mut hints: Vec<&str> = unknown.iter().map(|import| instead(import)).collect();
    hints.dedup();
    let more = match unknown.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    unknown.truncate(NAMED);
    let message = format!(
        "the component imports what this host does not offer: `{}`{more}",
        unknown.join("`, `")
    );
    hints.truncate(NAMED);
    Err(Refusal::component(message, hints.join("; ")))
}

fn instead(import: &str) -> &'static str {
    if import.starts_with("mortise:plugin/") {
        return "the plugin was built for another version of the contract; build it with the SDK of this host's version";
    }
    if let Some((_, version)) = import.split_once('@')
        && import.starts_with("wasi:")
        && version.starts_with("0.3")
    {
        return "build for WASI 0.2 (wasm32-wasip2); this host does not serve WASI 0.3";
    }
    INSTEAD
        .iter()
        .find(|(begin, _)| import.starts_with(begin))
        .map_or(
            "remove the import, or what needs it, from the plugin",
            |(_, instead)| instead,
        )
}

/// The import with the compatible part of its version only. Versions such as 0.2.0 and 0.2.9 can
/// replace each other.
fn track(import: &str) -> String {
    match split(import) {
        Some((name, track, _)) => format!("{name}@{track}"),
        None => import.to_owned(),
    }
}

/// The interface, the compatible part of its version, and the number of the version's remaining
/// parts.
fn split(import: &str) -> Option<(&str, String, usize)> {
    let (name, version) = import.split_once('@')?;
    let mut numbers = version.splitn(3, '.');
    let (major, minor, patch) = (numbers.next()?, numbers.next()?, numbers.next()?);
    if patch.bytes().any(|byte| !byte.is_ascii_digit()) {
        return None;
    }
    Some(match (major, minor) {
        ("0", "0") => (name, version.to_owned(), 0),
        ("0", minor) => (name, format!("0.{minor}"), 1),
        (major, _) => (name, major.to_owned(), 2),
    })
}

fn is_offered<T: 'static>(import: &str, linker: &Linker<T>) -> bool {
    // A name can be defined only once, so a failed definition shows that it exists.
    let mut probe = linker.clone();
    let mut define = |name: &str| probe.root().func_wrap(name, |_, (): ()| Ok(()));
    if define(import).is_err() {
        return true;
    }
    let mut is_defined = |name: &str| name != import && define(name).is_err();
    match split(import) {
        Some((name, track, 1)) => (0..PATCHES).any(|patch| is_defined(&format!("{name}@{track}.{patch}"))),
        Some((name, track, 2)) => (0..PATCHES).any(|minor| is_defined(&format!("{name}@{track}.{minor}.0"))),
        _ => false,
    }
}
