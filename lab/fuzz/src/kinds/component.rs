//! Generates components: random modules in a valid component, handwritten modules, and modified
//! guests.

use std::sync::OnceLock;

use arbitrary::Unstructured;
use rig::guest::Recipe;
use rig::section::section;
use rig::tenant::Tenant;
use rig::wasm::{self, ANSWER, DONE, MEMORY, REALLOC};
use serde_json::Value;
use wasm_smith::{Config, Module};

use super::{new_tenant, with_tenant};
use crate::chance::Chance;
use crate::failure::Failure;
use crate::input::{Part, named};
use crate::target::{Guests, Target, deploy, sound};

/// The ids of sections of a component.
const CORE_MODULE: u8 = 1;

/// A component as one of these parts: `module` is a random core module with a handler that calls
/// it, `text` is inside the handler's module, `definitions` are in the surrounding component, and
/// `edit`s change the guest that the part `guest` names.
pub fn generate(chance: &mut Chance) -> Vec<Part> {
    match chance.below(10) {
        0..=4 => smith(chance),
        5..=7 => by_hand(chance),
        _ => changed(chance),
    }
}

/// A module from wasm-smith.
fn smith(chance: &mut Chance) -> Vec<Part> {
    let length = chance.between(200, 6_000);
    let entropy = chance.bytes(length);
    let exotic = chance.odds(1, 6);
    let config = Config {
        // A few modules use features that the host has disabled and must reject.
        bulk_memory_enabled: true,
        custom_page_sizes_enabled: exotic,
        exceptions_enabled: exotic,
        export_everything: true,
        gc_enabled: exotic,
        max_exports: chance.size(500).max(3),
        max_funcs: chance.size(200).max(1),
        max_imports: 0,
        max_instructions: chance.size(2_000).max(20),
        max_memories: 1,
        max_memory32_bytes: 1 << 22,
        max_table_elements: 5_000,
        max_tags: 0,
        memory_max_size_required: false,
        memory64_enabled: false,
        min_funcs: 1,
        reference_types_enabled: true,
        relaxed_simd_enabled: exotic,
        simd_enabled: true,
        tail_call_enabled: exotic,
        threads_enabled: exotic,
        wide_arithmetic_enabled: exotic,
        compact_imports_enabled: false,
        ..Config::default()
    };
    let module = Module::new(config, &mut Unstructured::new(&entropy));
    // If the entropy yields no module, an empty one is used.
    let module = module.map_or_else(|_| wasm::MODULE.to_vec(), |module| module.to_bytes());
    vec![Part::new("module").bytes(module)]
}

/// Handwritten instructions and definitions that are difficult for compilers and allocators, in
/// large numbers.
fn by_hand(chance: &mut Chance) -> Vec<Part> {
    let text = Part::new("text");
    let count = chance.size(4_000).max(1);
    let kind = chance.below(16).saturating_sub(2);
    let mut parts = vec![match kind {
        0 => text
            .text(format!(
                "(func $f (drop (i32.const {})))",
                chance.below(1_000_000)
            ))
            .times(chance.much(49_000), "(export \"{i}\" (func $f))"),
        1 => text.times(count, "(type (func (param i32 i64 f32 f64) (result i32)))"),
        2 => text.times(count, "(func (param i32) (result i32) local.get 0)"),
        3 => text.times(count, "(global (mut i64) (i64.const {i}))"),
        4 => text.times(count, "(data (i32.const {i}) \"x\")"),
        5 => text.times(chance.size(12), "(table {i} 20000 funcref)"),
        6 => text
            .text("(table 10 funcref) (func $f)")
            .times(count, "(elem (i32.const 0) func $f $f $f)"),
        7 => {
            let depth = chance.size(1_500);
            let open = text.text("(func (export \"deep\")").times(depth, "(block ");
            open.text("nop").times(depth, ")").text(")")
        }
        8 => text.text("(func $r (call $r)) (start $r)"),
        9 => text.text("(func $s (loop (br 0))) (start $s)"),
        10 => text.text("(func $g (drop (memory.grow (i32.const 60000)))) (start $g)"),
        11 => text
            .text("(func (param v128) (result v128) local.get 0")
            .times(count, " local.get 0 i32x4.add")
            .text(")"),
        12 => Part::new("definitions").times(
            chance.size(40),
            "(core module $m{i} (memory 1)) (core instance (instantiate $m{i}))",
        ),
        _ => Part::new("definitions")
            .text("(type $t0 string)")
            .times(chance.size(60), "(type $t{j} (tuple $t{i} $t{i}))"),
    }];
    // Components that are large when loaded stay loaded.
    if kind < 2 {
        parts.push(Part::new("stays"));
    }
    parts
}

/// A real guest with a few bytes changed.
fn changed(chance: &mut Chance) -> Vec<Part> {
    let name = chance.pick(&["tiny", "tiny", "tiny", "echo"]);
    let mut parts = vec![Part::new("guest").text(name)];
    for _ in 0..chance.between(1, 3) {
        let place = chance.number() % 1_000_000;
        let what = match chance.below(8) {
            0 => "cut 1".to_owned(),
            1 => format!("cut {}", chance.size(64)),
            2 => format!("add {}", hex::encode(chance.bytes(2))),
            3 => format!("flip {}", 1 << chance.below(8)),
            _ => format!("set {}", chance.byte()),
        };
        parts.push(Part::new("edit").text(format!("{place} {what}")));
    }
    parts
}

/// The component that the parts describe, if they describe one.
fn component(parts: &[Part], guests: &Guests) -> Option<Vec<u8>> {
    let first = |name| named(parts, name).next().map(Part::content);
    if let Some(module) = first("module") {
        return beside(&module);
    }
    if let Some(text) = first("text") {
        return wasm::handler(&String::from_utf8_lossy(&text), ANSWER).ok();
    }
    if let Some(definitions) = first("definitions") {
        let code = format!("{MEMORY} {REALLOC} {DONE} {}", wasm::handle(ANSWER));
        let definitions = String::from_utf8_lossy(&definitions);
        return wasm::component(&format!(
            "{definitions} (core module $code {code}) (core instance $core (instantiate $code))"
        ))
        .ok();
    }
    let mut bytes = match named(parts, "guest").next()?.to_text().as_str() {
        "echo" => guests.echo_component.clone(),
        _ => guests.tiny.clone(),
    };
    for edit in named(parts, "edit") {
        change(&mut bytes, &edit.to_text());
    }
    Some(bytes)
}

/// Changes bytes at a position, given in millionths of the length.
fn change(bytes: &mut Vec<u8>, edit: &str) {
    let mut words = edit.split(' ');
    let mut next = || words.next().unwrap_or_default();
    let place: usize = next().parse().unwrap_or(0);
    let (what, value) = (next(), next());
    let at = bytes.len() * place.min(999_999) / 1_000_000;
    let count: usize = value.parse().unwrap_or(0);
    match what {
        "cut" => drop(bytes.drain(at..(at + count).min(bytes.len()))),
        "add" => drop(bytes.splice(at..at, hex::decode(value).unwrap_or_default())),
        "flip" => bytes[at] ^= u8::try_from(count).unwrap_or(1),
        _ => bytes[at] = u8::try_from(count).unwrap_or(0),
    }
}

/// A component with a valid handler and an instance of `module`, which replaces an empty module.
fn beside(module: &[u8]) -> Option<Vec<u8>> {
    // The empty module has no name, because a name would add a section.
    static AROUND: OnceLock<Vec<u8>> = OnceLock::new();
    let around = AROUND.get_or_init(|| {
        let code = format!("{MEMORY} {REALLOC} {DONE} {}", wasm::handle(ANSWER));
        let around = wasm::component(&format!(
            "(core module) (core instance $beside (instantiate 0))
             (core module $code {code}) (core instance $core (instantiate $code))"
        ));
        around.unwrap_or_default()
    });
    let empty = section(CORE_MODULE, wasm::MODULE);
    let at = around.windows(empty.len()).position(|window| window == empty)?;
    Some(
        [
            &around[..at],
            &section(CORE_MODULE, module),
            &around[at + empty.len()..],
        ]
        .concat(),
    )
}

/// Uploads and activates the component, and sends a request.
pub fn run(target: &Target, parts: &[Part]) -> Result<bool, Failure> {
    let Some(component) = component(parts, target.guests()) else {
        return Ok(false);
    };
    let guest = Recipe::from_bytes("fuzz", component).guest();
    let deployed = |tenant: &Tenant| {
        if !deploy(tenant, "fuzz", &guest.component, &Value::Null)? {
            return Ok(false);
        }
        for _ in 0..2 {
            sound(tenant.get("fuzz", "/x"), "a plugin")?;
        }
        Ok(true)
    };
    // Loaded code is bounded by the host, not by the lifetime of its tenant.
    match named(parts, "stays").next() {
        None => with_tenant(target, deployed),
        Some(_) => deployed(&new_tenant(target)?),
    }
}

#[cfg(test)]
mod tests {
    use rig::section::number;
    use rig::wasm::COMPONENT;

    use super::*;

    #[test]
    fn a_random_module_takes_the_place_of_the_empty_one() {
        let module = wasm::MODULE.to_vec();
        let same = beside(&module).unwrap();
        assert!(same.starts_with(COMPONENT));
        let other = beside(&[module, vec![0, 1, 0]].concat()).unwrap();
        assert_eq!(other.len(), same.len() + number(3).len() + 2);
    }

    #[test]
    fn nearly_every_input_is_a_component_or_was_one() {
        let guests = Guests::new(&crate::origin::Origin::start().unwrap()).unwrap();
        let mut none = Vec::new();
        for number in 0..200 {
            let parts = generate(&mut Chance::of(1, "components", number));
            if component(&parts, &guests).is_none() {
                none.push(parts[0].name.clone());
            }
        }
        assert!(none.len() < 10, "{none:?}");
    }

    #[test]
    fn random_modules_are_not_empty() {
        let all = (0..100).map(|number| smith(&mut Chance::of(1, "components", number)));
        let empty = all.filter(|parts| parts[0].content() == wasm::MODULE).count();
        assert!(empty < 20, "{empty}");
    }

    #[test]
    fn edits_change_bytes_where_they_say() {
        let mut bytes = b"0123456789".to_vec();
        change(&mut bytes, "500000 cut 2");
        assert_eq!(bytes, b"01234789");
        change(&mut bytes, "0 add 6162");
        assert_eq!(bytes, b"ab01234789");
        change(&mut bytes, "999999 set 33");
        assert_eq!(bytes, b"ab0123478!");
        change(&mut bytes, "0 flip 1");
        assert_eq!(bytes[0], b'`');
    }
}
