//! The WebAssembly proposals that plugins may use, for the engines and the validator.

use wasmparser::WasmFeatures;

/// The enabled proposals. A proposal is enabled only if compilers need it, since each adds code
/// that a hostile component could attack.
///
/// Multi-memory is enabled because wasmtime's adapters in composed plugins are modules with several
/// memories. The pool refuses a second memory in a plugin's own module.
pub const FEATURES: WasmFeatures = WasmFeatures::FLOATS
    .union(WasmFeatures::MUTABLE_GLOBAL)
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::MULTI_MEMORY)
    .union(WasmFeatures::COMPONENT_MODEL);

/// Flags of the validator that are parts of a proposal, or not a proposal at all.
const NO_PROPOSAL: WasmFeatures = WasmFeatures::CALL_INDIRECT_OVERLONG
    .union(WasmFeatures::BULK_MEMORY_OPT)
    .union(WasmFeatures::GC_TYPES)
    .union(WasmFeatures::COMPONENT_MODEL);

/// All proposals of the validator, by their usual names: `bulk-memory`, `gc`.
pub fn proposals() -> impl Iterator<Item = (String, WasmFeatures)> {
    WasmFeatures::all()
        .iter_names()
        .filter(|(_, feature)| !NO_PROPOSAL.contains(*feature))
        .map(|(name, feature)| (name.to_ascii_lowercase().replace('_', "-"), feature))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wasmparser::Validator;

    use super::*;
    use crate::components::uses::{Uses, refused_proposals};

    /// A component with one module that has these definitions and a function with this code.
    fn component(definitions: &str, code: &str) -> Vec<u8> {
        let text = format!("(component (core module {definitions} (memory 1) (func {code})))");
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn bare(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// A component for each proposal that WebAssembly text can express.
    fn samples() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("floats", component("", "(drop (f32.const 1))")),
            (
                "mutable-global",
                component(r#"(global (export "g") (mut i32) (i32.const 0))"#, ""),
            ),
            (
                "saturating-float-to-int",
                component("", "(drop (i32.trunc_sat_f32_s (f32.const 1)))"),
            ),
            (
                "sign-extension",
                component("", "(drop (i32.extend8_s (i32.const 255)))"),
            ),
            (
                "multi-value",
                component(
                    "(func $two (result i32 i32) i32.const 1 i32.const 2)",
                    "call $two drop drop",
                ),
            ),
            (
                "reference-types",
                component("(table $t 1 funcref)", "(drop (table.size $t))"),
            ),
            (
                "bulk-memory",
                component("", "(memory.fill (i32.const 8) (i32.const 0) (i32.const 8))"),
            ),
            ("simd", component("", "(drop (v128.const i32x4 1 2 3 4))")),
            (
                "extended-const",
                component("(global i32 (i32.add (i32.const 1) (i32.const 2)))", ""),
            ),
            ("multi-memory", component("(memory 1)", "")),
            (
                "gc",
                component("(type $a (sub (func))) (type $b (sub $a (func)))", ""),
            ),
            (
                "function-references",
                component("(type $f (func))", "(drop (ref.null $f))"),
            ),
            ("tail-call", component("(func $f)", "(return_call $f)")),
            ("threads", component("", "(drop (i32.atomic.load (i32.const 0)))")),
            ("exceptions", component("(tag $e)", "(throw $e)")),
            ("memory64", component("(memory i64 1)", "")),
            (
                "relaxed-simd",
                component(
                    "",
                    "(drop (i8x16.relaxed_swizzle (v128.const i64x2 1 2) (v128.const i64x2 1 2)))",
                ),
            ),
            ("custom-page-sizes", component("(memory 1 (pagesize 1))", "")),
            (
                "wide-arithmetic",
                component(
                    "",
                    "(i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)) drop drop",
                ),
            ),
            (
                "stack-switching",
                component("(type $f (func)) (type $c (cont $f))", ""),
            ),
            ("cm-async", bare("(component (type (future u8)))")),
            ("cm-fixed-length-lists", bare("(component (type (list u8 4)))")),
            ("cm-map", bare("(component (type (map string u8)))")),
            ("cm-error-context", bare("(component (type error-context))")),
        ]
    }

    #[test]
    fn each_proposal_that_is_off_is_refused_by_name_and_each_other_one_is_valid() {
        let all: BTreeSet<String> = proposals().map(|(name, _)| name).collect();
        for (name, component) in samples() {
            assert!(all.contains(name), "{name} in {all:?}");
            let (_, proposal) = proposals().find(|(known, _)| known == name).unwrap();
            let is_on = FEATURES.contains(proposal);
            let valid = Validator::new_with_features(FEATURES).validate_all(&component);
            assert_eq!(valid.is_ok(), is_on, "{name}: {:?}", valid.err());
            assert_eq!(refused_proposals(&component).contains(name), !is_on, "{name}");
            assert!(Uses::of(&component).unwrap().proposals.contains(name), "{name}");
        }
        let on: BTreeSet<String> = proposals()
            .filter(|(_, proposal)| FEATURES.contains(*proposal))
            .map(|(name, _)| name)
            .collect();
        let sampled: BTreeSet<String> = samples().into_iter().map(|(name, _)| name.to_owned()).collect();
        assert!(sampled.is_superset(&on), "{on:?}");
    }

    #[test]
    fn the_engine_runs_the_same_proposals_as_the_validator() {
        let engine = crate::sandbox::engine::compiling().unwrap();
        for (name, component) in samples() {
            let valid = Validator::new_with_features(FEATURES)
                .validate_all(&component)
                .is_ok();
            let compiled = wasmtime::component::Component::from_binary(&engine, &component);
            assert_eq!(compiled.is_ok(), valid, "{name}: {:?}", compiled.err());
        }
    }

    #[test]
    fn what_the_engine_must_not_meet_is_off() {
        for off in [
            WasmFeatures::GC,
            WasmFeatures::FUNCTION_REFERENCES,
            WasmFeatures::EXCEPTIONS,
            WasmFeatures::TAIL_CALL,
            WasmFeatures::THREADS,
            WasmFeatures::STACK_SWITCHING,
            WasmFeatures::CM_ASYNC,
        ] {
            assert!(!FEATURES.intersects(off), "{off:?}");
        }
    }
}
