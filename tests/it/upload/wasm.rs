//! Handwritten WebAssembly, for components that no compiler would create.

pub use crate::shared::wasm::{COMPONENT, number, section, with_content};

/// An empty core module.
pub const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// `component` with this unchecked manifest.
pub fn with_manifest(component: &[u8], manifest: &str) -> Vec<u8> {
    let content = serde_json::json!({ "format": 1, "manifest": manifest });
    with_content(component, &content.to_string())
}

/// A component that is expensive to compile: `functions` functions of `depth` nested loops, all of
/// which change all variables of the function.
pub fn bomb(functions: usize, depth: usize) -> Vec<u8> {
    const VARIABLES: usize = 100;
    let mut body = [vec![1], number(VARIABLES), vec![0x7f]].concat();
    for level in 0..depth {
        let variable = number(level % VARIABLES);
        let other = number((level * 7 + 3) % VARIABLES);
        body.extend([0x03, 0x40, 0x20]); // loop, local.get
        body.extend(&variable);
        body.push(0x20); // local.get
        body.extend(&other);
        body.extend([0x6a, 0x21]); // i32.add, local.set
        body.extend(&variable);
    }
    for level in 0..depth {
        body.push(0x20); // local.get
        body.extend(number(level % VARIABLES));
        body.extend([0x0d, 0x00, 0x0b]); // br_if 0, end
    }
    body.push(0x0b);
    let body = [number(body.len()), body].concat();

    let types = section(1, &[1, 0x60, 0, 0]);
    let declared = section(3, &[number(functions), vec![0; functions]].concat());
    let code = section(10, &[number(functions), body.repeat(functions)].concat());
    let module = [MODULE, &types, &declared, &code].concat();
    [COMPONENT, &section(1, &module)].concat()
}

/// A component with the HTTP handler of the contract, whose core module has these further
/// definitions and runs this code for each request. It answers 200.
pub fn plugin(definitions: &str, code: &str) -> Vec<u8> {
    wat::parse_str(plugin_text(definitions, code)).unwrap()
}

/// The same as text.
pub fn plugin_text(definitions: &str, code: &str) -> String {
    const TEXT: &str = include_str!("function-types.wat");
    let (before, rest) = TEXT.split_once("(core module $m").unwrap();
    let (_, after) = rest.split_once("(core instance $i (instantiate $m))").unwrap();
    format!(
        r#"{before}(core module $m
          (memory (export "memory") 1)
          (data (i32.const 0) "\c8\00")
          {definitions}
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
          (func (export "handle") (param i32) (result i32) {code} (i32.const 0)))
        (core instance $i (instantiate $m)){after}"#
    )
}
