//! A look at a component before anything expensive is done with it: is it one at all, is it of a size and shape that
//! can be compiled, and what rides inside.

use wasmparser::{Encoding, Parser, Payload};

/// More than this is no plugin; the numbers leave room for whole language runtimes.
const MAX_FUNCTIONS: u32 = 100_000;
const MAX_FUNCTION_BYTES: usize = 1 << 20;
const MAX_MODULES: u32 = 64;
const MAX_COMPONENTS: u32 = 64;
const MAX_DEPTH: usize = 8;

/// Why an upload is not even tried.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScanError {
    /// Text, a core module, or something else.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(&'static str),
    /// Not WebAssembly as it should be.
    #[error("the component is malformed at byte {offset:#x}: {message}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What is wrong.
        message: String,
    },
    /// Too much of something.
    #[error("the component has {what} at byte {offset:#x}")]
    TooComplex {
        /// Where.
        offset: u64,
        /// What there is too much of.
        what: String,
    },
}

/// Checks the shape of a component and gives the content of its custom section `section`, where it has one.
pub fn scan<'a>(bytes: &'a [u8], section: &str) -> Result<Option<&'a [u8]>, ScanError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(ScanError::NotAComponent(match bytes.first() {
            Some(b'(') => "it is WebAssembly text; build it to a binary component",
            Some(0x7f) => "it is compiled native code",
            _ => "it does not start with the WebAssembly header",
        }));
    }
    let mut found = None;
    let (mut functions, mut modules, mut components, mut depth) = (0_u32, 0_u32, 0_u32, 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| ScanError::Malformed {
            offset: u64::try_from(error.offset()).unwrap_or(u64::MAX),
            message: error.message().to_owned(),
        })?;
        let too_complex = |offset: usize, what: String| ScanError::TooComplex {
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
            what,
        };
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => {
                return Err(ScanError::NotAComponent(
                    "it is a core module; build for wasm32-wasip2, or wrap it with `wasm-tools component new`",
                ));
            }
            Payload::ModuleSection { unchecked_range, .. } => {
                modules += 1;
                depth += 1;
                if modules > MAX_MODULES {
                    return Err(too_complex(
                        unchecked_range.start,
                        format!("more than {MAX_MODULES} modules"),
                    ));
                }
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                components += 1;
                depth += 1;
                if components > MAX_COMPONENTS || depth > MAX_DEPTH {
                    let what =
                        format!("more than {MAX_COMPONENTS} components, or nested deeper than {MAX_DEPTH}");
                    return Err(too_complex(unchecked_range.start, what));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CodeSectionStart { count, range, .. } => {
                functions = functions.saturating_add(count);
                if functions > MAX_FUNCTIONS {
                    return Err(too_complex(
                        range.start,
                        format!("more than {MAX_FUNCTIONS} functions"),
                    ));
                }
            }
            Payload::CodeSectionEntry(body) if body.range().len() > MAX_FUNCTION_BYTES => {
                let what = format!("a function of more than {MAX_FUNCTION_BYTES} bytes");
                return Err(too_complex(body.range().start, what));
            }
            Payload::CustomSection(custom) if depth == 0 && custom.name() == section => {
                found = Some(custom.data())
            }
            _ => {}
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn custom(name: &str, data: &[u8]) -> Vec<u8> {
        let length = u8::try_from(1 + name.len() + data.len()).unwrap();
        [
            &[0, length, u8::try_from(name.len()).unwrap()],
            name.as_bytes(),
            data,
        ]
        .concat()
    }

    #[test]
    fn what_is_not_a_component_is_told_apart() {
        for (bytes, wanted) in [
            (b"".as_slice(), "does not start with the WebAssembly header"),
            (b"hello".as_slice(), "does not start with the WebAssembly header"),
            (b"(component)".as_slice(), "WebAssembly text"),
            (b"\x7fELF".as_slice(), "native code"),
            (MODULE, "core module"),
        ] {
            let error = scan(bytes, "s").unwrap_err().to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn the_section_is_found_at_the_top_only() {
        let top = [COMPONENT, &custom("s", b"data"), &custom("t", b"other")].concat();
        assert_eq!(scan(&top, "s"), Ok(Some(b"data".as_slice())));
        assert_eq!(scan(COMPONENT, "s"), Ok(None));

        let module = [MODULE, &custom("s", b"inner")].concat();
        let nested = [COMPONENT, &[1, u8::try_from(module.len()).unwrap()], &module].concat();
        assert_eq!(scan(&nested, "s"), Ok(None));
    }

    #[test]
    fn a_cut_component_is_malformed_with_its_place() {
        let whole = [COMPONENT, &custom("s", b"data")].concat();
        let error = scan(&whole[..whole.len() - 2], "s").unwrap_err().to_string();
        assert!(error.contains("malformed at byte 0x"), "{error}");
    }

    /// LEB128.
    fn number(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id], number(content.len()).as_slice(), content].concat()
    }

    /// A component around a core module with `count` functions of this code.
    fn functions(count: usize, code: &[u8]) -> Vec<u8> {
        let body = [number(code.len()), code.to_vec()].concat();
        let types = section(1, &[1, 0x60, 0, 0]);
        let declared = section(3, &[number(count), vec![0; count]].concat());
        let code = section(10, &[number(count), body.repeat(count)].concat());
        [
            COMPONENT,
            &section(1, &[MODULE, &types, &declared, &code].concat()),
        ]
        .concat()
    }

    /// Components within each other.
    fn nested(depth: usize) -> Vec<u8> {
        let mut component = COMPONENT.to_vec();
        for _ in 0..depth {
            component = [COMPONENT, &section(4, &component)].concat();
        }
        component
    }

    /// No locals, as many bytes in all, and the end.
    fn code(bytes: usize) -> Vec<u8> {
        let mut code = vec![1; bytes];
        (code[0], code[bytes - 1]) = (0, 0x0b);
        code
    }

    #[test]
    fn each_bound_is_kept_to_the_one() {
        let many = |id: u8, content: &[u8], count: u32| {
            let sections = section(id, content).repeat(usize::try_from(count).unwrap());
            [COMPONENT, &sections].concat()
        };
        let most_functions = usize::try_from(MAX_FUNCTIONS).unwrap();
        for (allowed, beyond, what) in [
            (
                functions(most_functions, &[0, 0x0b]),
                functions(most_functions + 1, &[0, 0x0b]),
                "more than 100000 functions",
            ),
            (
                functions(1, &code(MAX_FUNCTION_BYTES)),
                functions(1, &code(MAX_FUNCTION_BYTES + 1)),
                "a function of more than 1048576 bytes",
            ),
            (
                many(1, MODULE, MAX_MODULES),
                many(1, MODULE, MAX_MODULES + 1),
                "more than 64 modules",
            ),
            (
                many(4, COMPONENT, MAX_COMPONENTS),
                many(4, COMPONENT, MAX_COMPONENTS + 1),
                "more than 64 components",
            ),
            (nested(MAX_DEPTH), nested(MAX_DEPTH + 1), "nested deeper than 8"),
        ] {
            assert_eq!(scan(&allowed, "s"), Ok(None), "{what}");
            let error = scan(&beyond, "s").unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }
}
