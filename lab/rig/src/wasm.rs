//! Handwritten WebAssembly, for components that no compiler would create.

use crate::section::{number, section};
use anyhow::{Context as _, Result};

/// An empty component.
pub const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// An empty core module.
pub const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// The component around a core module that handles requests.
const HANDLER: &str = include_str!("handler.wat");

/// The part of such a component that handles jobs.
const JOB_HANDLER: &str = include_str!("job_handler.wat");

/// The function of a core module that handles a job, with the success of every job at address
/// 2,048, where the memory is zero.
const RUN: &str = "(func (export \"run\")
    (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) (i32.const 2048))";

/// The memory of a handwritten core module.
pub const MEMORY: &str = "(memory (export \"memory\") 2)";

/// Allocates memory from 64 KiB on and never frees it.
pub const REALLOC: &str = "
    (global $free (mut i32) (i32.const 65536))
    (func (export \"realloc\") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get 3)))
      (local.get $at))";

/// The post-return function, which does nothing.
pub const DONE: &str = "(func (export \"done\") (param i32))";

/// Answers 200 with an empty body: a response at address 1,024.
pub const ANSWER: &str = "(i32.store16 (i32.const 1024) (i32.const 200)) (i32.const 1024)";

/// A component whose handler runs `body`, which returns the address of a response. `parts` are
/// further parts of its module.
pub fn handler(parts: &str, body: &str) -> Result<Vec<u8>> {
    module(&format!("{MEMORY} {REALLOC} {DONE} {parts} {}", handle(body)))
}

/// The same component, which also handles jobs: each of them succeeds.
pub fn handler_with_jobs(parts: &str, body: &str) -> Result<Vec<u8>> {
    let code = format!("{MEMORY} {REALLOC} {DONE} {RUN} {parts} {}", handle(body));
    filled(&core(&code), JOB_HANDLER)
}

/// The handler of a core module, with a local variable for counting.
pub fn handle(body: &str) -> String {
    format!("(func (export \"handle\") (param i32) (result i32) (local $i i32) {body})")
}

/// A component with a complete core module.
pub fn module(text: &str) -> Result<Vec<u8>> {
    component(&core(text))
}

fn core(module: &str) -> String {
    format!("(core module $code {module}) (core instance $core (instantiate $code))")
}

/// A component with these definitions, which must define the core instance `$core`.
pub fn component(definitions: &str) -> Result<Vec<u8>> {
    filled(definitions, "")
}

fn filled(definitions: &str, jobs: &str) -> Result<Vec<u8>> {
    let text = HANDLER.replace("\nCORE\n", definitions).replace("\nJOBS\n", jobs);
    wat::parse_str(&text).context("the text of a component")
}

/// A component with one core module with `functions` equal functions of this body: locals and code.
pub fn functions(functions: usize, body: &[u8]) -> Vec<u8> {
    let body = [number(body.len()), body.to_vec()].concat();
    let types = section(1, &[1, 0x60, 0, 0]);
    let declared = section(3, &[number(functions), vec![0; functions]].concat());
    let code = section(10, &[number(functions), body.repeat(functions)].concat());
    let module = [MODULE, &types, &declared, &code].concat();
    [COMPONENT, &section(1, &module)].concat()
}

/// Nested loops that all change all variables of the function, which makes register allocation
/// expensive.
pub fn nested_loops(depth: usize) -> Vec<u8> {
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
    body
}

/// A sequence of branches, each of which sets one of many variables, so that every join merges all
/// of them.
pub fn many_branches(branches: usize, variables: usize) -> Vec<u8> {
    let mut body = [vec![1], number(variables), vec![0x7f]].concat();
    for branch in 0..branches {
        let (variable, other) = (number(branch % variables), number((branch * 7 + 3) % variables));
        body.push(0x20); // local.get
        body.extend(&other);
        body.extend([0x04, 0x40, 0x20]); // if, local.get
        body.extend(&other);
        body.push(0x21); // local.set
        body.extend(&variable);
        body.push(0x05); // else
        body.extend([0x41, 0x01, 0x21]); // i32.const 1, local.set
        body.extend(&variable);
        body.push(0x0b); // end
    }
    body.push(0x0b);
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_becomes_a_component() {
        for made in [handler("", ANSWER), handler_with_jobs("", ANSWER)] {
            let made = made.unwrap();
            assert!(made.starts_with(COMPONENT));
            wasmparser::validate(&made).unwrap();
        }
        assert!(handler("", "(nonsense)").is_err());
    }

    #[test]
    fn functions_become_a_component() {
        assert!(functions(3, &nested_loops(2)).starts_with(COMPONENT));
    }
}
