//! Finds what a component uses: proposals, instructions and imports.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wasmparser::{
    ComponentTypeRef, ConstExpr, DataKind, ElementItems, ElementKind, Operator, OperatorsReader, Parser,
    Payload, TableInit, Validator, WasmFeatures,
};

use super::features::{self, FEATURES};

/// What a component uses. Rules of `[shield]` and queries of the operator are compared with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uses {
    /// Proposals without which the component is not valid: `simd`.
    pub proposals: BTreeSet<String>,
    /// Instructions: `call_indirect`, `i32_add`.
    pub instructions: BTreeSet<String>,
    /// Imported interfaces and their functions: `wasi:random/random@0.2.0`,
    /// `wasi:random/random@0.2.0#get-random-bytes`.
    pub imports: BTreeSet<String>,
}

/// The most imports of a component, functions of interfaces included.
pub const MAX_IMPORTS: usize = 5_000;

/// The most bytes of all names of imports.
pub const MAX_IMPORT_BYTES: usize = 1 << 20;

/// Why the uses of a component cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum UsesError {
    /// The component is not valid with any set of proposals.
    #[error("{0}")]
    Invalid(#[from] wasmparser::Error),
    /// The component has too many imports.
    #[error("the component has more than {MAX_IMPORTS} imports, or {MAX_IMPORT_BYTES} bytes of their names")]
    TooManyImports,
}

impl Uses {
    /// Finds what a component uses. The component must be valid with [`FEATURES`], or with all
    /// proposals if it is a stored one that this host no longer runs.
    pub fn of(component: &[u8]) -> Result<Self, UsesError> {
        let base = if is_valid(component, FEATURES) {
            FEATURES
        } else {
            WasmFeatures::all()
        };
        let types = Validator::new_with_features(base).validate_all(component)?;
        Ok(Self {
            proposals: needed(component, base),
            instructions: instructions(component)?,
            imports: imports(component, types.as_ref())?,
        })
    }

    /// The used proposals that this host does not enable.
    pub fn refused_proposals(&self) -> BTreeSet<String> {
        let off = features::proposals().filter(|(_, proposal)| !FEATURES.contains(*proposal));
        off.map(|(name, _)| name)
            .filter(|name| self.proposals.contains(name))
            .collect()
    }
}

fn is_valid(component: &[u8], features: WasmFeatures) -> bool {
    Validator::new_with_features(features)
        .validate_all(component)
        .is_ok()
}

fn latest_first() -> impl Iterator<Item = (String, WasmFeatures)> {
    let proposals: Vec<_> = features::proposals().collect();
    proposals.into_iter().rev()
}

/// The proposals of `base` that the component needs.
fn needed(component: &[u8], base: WasmFeatures) -> BTreeSet<String> {
    // Proposals depend on earlier ones, so unused ones are removed one by one, the latest first.
    // The validator stops at the first use, so only an unused proposal costs a whole pass.
    let mut features = base;
    let mut needed = BTreeSet::new();
    for (name, proposal) in latest_first() {
        if !base.contains(proposal) {
            continue;
        }
        // Compilers encode calls in the long form of the reference types proposal, even if they do
        // not use reference types.
        let without = features
            .difference(proposal)
            .union(WasmFeatures::CALL_INDIRECT_OVERLONG);
        if is_valid(component, without) {
            features = without;
        } else {
            needed.insert(name);
        }
    }
    needed
}

/// The proposals that the component needs and this host does not enable.
pub fn refused_proposals(component: &[u8]) -> BTreeSet<String> {
    let mut features = WasmFeatures::all();
    if !is_valid(component, features) {
        return BTreeSet::new();
    }
    let mut refused = BTreeSet::new();
    for (name, proposal) in latest_first().filter(|(_, proposal)| !FEATURES.contains(*proposal)) {
        let without = features.difference(proposal);
        if is_valid(component, without) {
            features = without;
        } else {
            refused.insert(name);
        }
    }
    refused
}

fn imports(component: &[u8], types: wasmparser::types::TypesRef<'_>) -> Result<BTreeSet<String>, UsesError> {
    let mut imports = BTreeSet::new();
    let mut bytes = 0_usize;
    let mut add = |name: String| {
        bytes = bytes.saturating_add(name.len());
        imports.insert(name);
        match imports.len() > MAX_IMPORTS || bytes > MAX_IMPORT_BYTES {
            true => Err(UsesError::TooManyImports),
            false => Ok(()),
        }
    };
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import?;
                    let name = import.name.name;
                    if let ComponentTypeRef::Instance(_) = import.ty
                        && let Some(functions) = instance_exports(name, types)
                    {
                        for function in functions {
                            add(format!("{name}#{function}"))?;
                        }
                    }
                    add(name.to_owned())?;
                }
            }
            _ => {}
        }
    }
    Ok(imports)
}

/// The functions of an imported interface.
fn instance_exports<'a>(
    import: &str,
    types: wasmparser::types::TypesRef<'a>,
) -> Option<impl Iterator<Item = &'a str>> {
    use wasmparser::component_types::ComponentEntityType;
    let item = types.component_item_for_import(import)?;
    let ComponentEntityType::Instance(instance) = item.ty else {
        return None;
    };
    let exports = types.get(instance)?.exports.iter();
    Some(exports.filter_map(|(name, item)| match item.ty {
        ComponentEntityType::Func(_) => Some(name.as_str()),
        _ => None,
    }))
}

macro_rules! instruction_names {
    ($(
        @$proposal:ident $op:ident $({ $($argument:ident: $type:ty),* })?
            => $visit:ident ($($annotation:tt)*)
    )*) => {
        enum Kind { $($op,)* }

        /// The names of all instructions, by number.
        const NAMES: &[&str] = &[$(stringify!($visit),)*];

        /// The number of an instruction; `None` for one that a newer validator adds.
        fn number(operator: &Operator<'_>) -> Option<usize> {
            Some(match operator {
                $(Operator::$op $({ $($argument: _),* })? => Kind::$op as usize,)*
                _ => return None,
            })
        }
    };
}
wasmparser::for_each_operator!(instruction_names);

/// All instructions, with `_` instead of `.`: `call_indirect`, `i32_add`, `v128_load`.
pub fn all_instructions() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|visit| visit.trim_start_matches("visit_"))
}

fn instructions(component: &[u8]) -> wasmparser::Result<BTreeSet<String>> {
    let mut seen = vec![false; NAMES.len()];
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::CodeSectionEntry(body) => see(&mut seen, body.get_operators_reader()?)?,
            Payload::GlobalSection(globals) => {
                for global in globals {
                    see_constant(&mut seen, &global?.init_expr)?;
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    if let TableInit::Expr(expression) = table?.init {
                        see_constant(&mut seen, &expression)?;
                    }
                }
            }
            Payload::DataSection(segments) => {
                for segment in segments {
                    if let DataKind::Active { offset_expr, .. } = segment?.kind {
                        see_constant(&mut seen, &offset_expr)?;
                    }
                }
            }
            Payload::ElementSection(segments) => {
                for segment in segments {
                    let segment = segment?;
                    if let ElementKind::Active { offset_expr, .. } = segment.kind {
                        see_constant(&mut seen, &offset_expr)?;
                    }
                    if let ElementItems::Expressions(_, expressions) = segment.items {
                        for expression in expressions {
                            see_constant(&mut seen, &expression?)?;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let named = all_instructions().zip(seen).filter(|(_, seen)| *seen);
    Ok(named.map(|(name, _)| name.to_owned()).collect())
}

fn see_constant(seen: &mut [bool], expression: &ConstExpr<'_>) -> wasmparser::Result<()> {
    see(seen, expression.get_operators_reader())
}

fn see(seen: &mut [bool], operators: OperatorsReader<'_>) -> wasmparser::Result<()> {
    for operator in operators {
        if let Some(number) = number(&operator?)
            && let Some(seen) = seen.get_mut(number)
        {
            *seen = true;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Uses, UsesError> {
        Uses::of(&wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}")))
    }

    #[test]
    fn instructions_are_found_wherever_code_stands() {
        let uses = of(r#"(component (core module
            (memory 1) (table $t 1 funcref)
            (global i32 (i32.const 1))
            (data (offset (i32.add (i32.const 1) (i32.const 2))) "x")
            (elem (table $t) (offset (i32.sub (i32.const 1) (i32.const 1))) funcref (ref.null func))
            (func (drop (v128.const i64x2 1 2))))
            (component (core module (func (param i64) (drop (i64.clz (local.get 0)))))))"#)
        .unwrap();
        for instruction in [
            "i32_const",
            "i32_add",
            "i32_sub",
            "ref_null",
            "v128_const",
            "i64_clz",
            "drop",
            "end",
        ] {
            assert!(
                uses.instructions.contains(instruction),
                "{instruction} in {:?}",
                uses.instructions
            );
        }
        assert!(!uses.instructions.contains("i32_mul"));
        assert!(all_instructions().any(|name| name == "i32x4_add"));
    }

    #[test]
    fn imports_are_those_of_the_outermost_component() {
        let uses = of(r#"(component
            (import "a:b/c@1.2.3" (instance (export "f" (func)) (export "r" (type (sub resource)))))
            (import "plain" (func))
            (component (import "x:y/z" (instance)))
            (core module (import "m" "f" (func))))"#)
        .unwrap();
        let imports: Vec<&str> = uses.imports.iter().map(String::as_str).collect();
        assert_eq!(imports, ["a:b/c@1.2.3", "a:b/c@1.2.3#f", "plain"]);
    }

    #[test]
    fn imports_and_their_names_are_bounded() {
        let functions = |count: usize, length: usize| -> String {
            (0..count)
                .map(|n| format!(r#"(export "f{n:0length$}" (func))"#))
                .collect()
        };
        let importing =
            |exports: String| of(&format!(r#"(component (import "a:b/c" (instance {exports})))"#));
        assert_eq!(
            importing(functions(MAX_IMPORTS - 1, 1)).unwrap().imports.len(),
            MAX_IMPORTS
        );
        assert!(matches!(
            importing(functions(MAX_IMPORTS, 1)),
            Err(UsesError::TooManyImports)
        ));
        assert!(matches!(
            importing(functions(200, 10_000)),
            Err(UsesError::TooManyImports)
        ));
    }
}
