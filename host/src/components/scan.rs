//! A cheap first check of an upload: whether it is a component, and whether its size and shape can
//! be compiled. It also finds the section with the bundle.

use wasmparser::{Encoding, Parser, Payload};

use super::refusal::Refusal;

/// These bounds leave room for whole language runtimes. docs/limits.md lists them.
const MAX_FUNCTIONS: u32 = 100_000;
const MAX_FUNCTION_BYTES: usize = 1 << 20;
const MAX_MODULES: u32 = 64;
const MAX_COMPONENTS: u32 = 64;
const MAX_DEPTH: usize = 8;

/// Bounds of definitions that take memory while a component is loaded. Each applies to all parts of
/// a component together.
const BOUNDS: [(Part, u32, &str); 10] = [
    (Part::Types, 50_000, "types"),
    (Part::Imports, 50_000, "imports"),
    (Part::Exports, 50_000, "exports"),
    (Part::Globals, 50_000, "globals"),
    (Part::Tables, 1_000, "tables"),
    (Part::Memories, 1_000, "memories"),
    (Part::Data, 100_000, "data segments"),
    (Part::Elements, 50_000, "element segments"),
    (Part::Items, 500_000, "elements"),
    (
        Part::Definitions,
        50_000,
        "instances, aliases and canonical functions",
    ),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Types,
    Imports,
    Exports,
    Globals,
    Tables,
    Memories,
    Data,
    Elements,
    Items,
    Definitions,
}

/// Why an upload is not compiled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScanError {
    /// The upload is text, a core module or something else.
    #[error("this is not a WebAssembly component: {0}")]
    NotAComponent(NotAComponent),
    /// Malformed WebAssembly.
    #[error("the component is malformed at byte {offset:#x}: {message}")]
    Malformed {
        /// Offset in bytes.
        offset: u64,
        /// The problem.
        message: String,
    },
    /// A bound is exceeded.
    #[error("the component has {what} at byte {offset:#x}")]
    TooComplex {
        /// Offset in bytes.
        offset: u64,
        /// The exceeded bound.
        what: String,
    },
}

/// What was uploaded instead of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAComponent {
    /// WebAssembly text.
    #[error("it is WebAssembly text")]
    Text,
    /// An executable of an operating system.
    #[error("it is compiled native code")]
    Native,
    /// A core module.
    #[error("it is a core module")]
    Module,
    /// Anything else.
    #[error("it does not start with the WebAssembly header")]
    Other,
}

impl ScanError {
    /// The refusal of an upload.
    pub fn refusal(&self) -> Refusal {
        let hint = match self {
            Self::NotAComponent(NotAComponent::Text) => {
                "convert the text to a binary component with `wasm-tools parse`"
            }
            Self::NotAComponent(NotAComponent::Module) => {
                "build for wasm32-wasip2, or wrap the module with `wasm-tools component new`"
            }
            Self::NotAComponent(NotAComponent::Native | NotAComponent::Other) => {
                "upload the .wasm file that `mortise build` writes"
            }
            Self::Malformed { .. } => {
                "the file is damaged or cut off; build it again and upload the whole file"
            }
            Self::TooComplex { .. } => {
                "docs/limits.md lists what a component may have; leave out what the plugin does not use, and split it if \
                 that is not enough"
            }
        };
        Refusal::component(self.to_string(), hint)
    }
}

/// Checks the shape of a component. Returns the content of its custom section `section`, if it has
/// one.
pub fn scan<'a>(bytes: &'a [u8], section: &str) -> Result<Option<&'a [u8]>, ScanError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(ScanError::NotAComponent(match bytes.first() {
            Some(b'(') => NotAComponent::Text,
            Some(0x7f) => NotAComponent::Native,
            _ => NotAComponent::Other,
        }));
    }
    let mut found = None;
    let mut counts = Counts::default();
    let (mut functions, mut modules, mut components, mut depth) = (0_u32, 0_u32, 0_u32, 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        counts.count(&payload)?;
        match payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } if depth == 0 => return Err(ScanError::NotAComponent(NotAComponent::Module)),
            Payload::ModuleSection { unchecked_range, .. } => {
                modules += 1;
                depth += 1;
                if modules > MAX_MODULES {
                    let what = format!("more than {MAX_MODULES} modules");
                    return Err(too_complex(unchecked_range.start, what));
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

/// The counts so far, in the order of [`BOUNDS`].
#[derive(Default)]
struct Counts([u32; BOUNDS.len()]);

impl Counts {
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), ScanError> {
        use Payload::{
            ComponentAliasSection, ComponentCanonicalSection, ComponentExportSection, ComponentImportSection,
            ComponentInstanceSection, ComponentTypeSection, CoreTypeSection, DataSection, ElementSection,
            ExportSection, GlobalSection, ImportSection, InstanceSection, MemorySection, TableSection,
            TypeSection,
        };
        match payload {
            TypeSection(part) => self.add(Part::Types, part.count(), &part.range()),
            CoreTypeSection(part) => self.add(Part::Types, part.count(), &part.range()),
            ComponentTypeSection(part) => self.add(Part::Types, part.count(), &part.range()),
            ImportSection(part) => self.add(Part::Imports, part.count(), &part.range()),
            ComponentImportSection(part) => self.add(Part::Imports, part.count(), &part.range()),
            ExportSection(part) => self.add(Part::Exports, part.count(), &part.range()),
            ComponentExportSection(part) => self.add(Part::Exports, part.count(), &part.range()),
            GlobalSection(part) => self.add(Part::Globals, part.count(), &part.range()),
            TableSection(part) => self.add(Part::Tables, part.count(), &part.range()),
            MemorySection(part) => self.add(Part::Memories, part.count(), &part.range()),
            DataSection(part) => self.add(Part::Data, part.count(), &part.range()),
            ElementSection(part) => {
                self.add(Part::Elements, part.count(), &part.range())?;
                for segment in part.clone() {
                    let items = match segment.map_err(malformed)?.items {
                        wasmparser::ElementItems::Functions(items) => items.count(),
                        wasmparser::ElementItems::Expressions(_, items) => items.count(),
                    };
                    self.add(Part::Items, items, &part.range())?;
                }
                Ok(())
            }
            InstanceSection(part) => self.instances(part),
            ComponentInstanceSection(part) => self.add(Part::Definitions, part.count(), &part.range()),
            ComponentAliasSection(part) => self.add(Part::Definitions, part.count(), &part.range()),
            ComponentCanonicalSection(part) => self.add(Part::Definitions, part.count(), &part.range()),
            _ => Ok(()),
        }
    }

    /// An instance that consists of exports holds a name for each.
    fn instances(&mut self, part: &wasmparser::InstanceSectionReader<'_>) -> Result<(), ScanError> {
        self.add(Part::Definitions, part.count(), &part.range())?;
        for instance in part.clone() {
            let names = match instance.map_err(malformed)? {
                wasmparser::Instance::Instantiate { args, .. } => args.len(),
                wasmparser::Instance::FromExports(exports) => exports.len(),
            };
            self.add(
                Part::Exports,
                u32::try_from(names).unwrap_or(u32::MAX),
                &part.range(),
            )?;
        }
        Ok(())
    }

    fn add(&mut self, part: Part, more: u32, range: &std::ops::Range<usize>) -> Result<(), ScanError> {
        for (count, (bounded, most, name)) in self.0.iter_mut().zip(BOUNDS) {
            if bounded == part {
                *count = count.saturating_add(more);
                if *count > most {
                    return Err(too_complex(range.start, format!("more than {most} {name}")));
                }
            }
        }
        Ok(())
    }
}

fn too_complex(offset: usize, what: String) -> ScanError {
    ScanError::TooComplex {
        offset: u64::try_from(offset).unwrap_or(u64::MAX),
        what,
    }
}

pub(super) fn malformed(error: wasmparser::Error) -> ScanError {
    ScanError::Malformed {
        offset: u64::try_from(error.offset()).unwrap_or(u64::MAX),
        message: error.message().to_owned(),
    }
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

    /// Encodes LEB128.
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

    /// A component with a core module that has `count` functions with this code.
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

    /// Nested components.
    fn nested(depth: usize) -> Vec<u8> {
        let mut component = COMPONENT.to_vec();
        for _ in 0..depth {
            component = [COMPONENT, &section(4, &component)].concat();
        }
        component
    }

    /// A function body of this many bytes without locals.
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

    /// A component with a core module that has one section.
    fn module(id: u8, content: &[u8]) -> Vec<u8> {
        [COMPONENT, &section(1, &[MODULE, &section(id, content)].concat())].concat()
    }

    /// A component with one section.
    fn component(id: u8, content: &[u8]) -> Vec<u8> {
        [COMPONENT, &section(id, content)].concat()
    }

    /// Creates a component with this many definitions of one kind.
    type Make<'a> = &'a dyn Fn(u32) -> Vec<u8>;

    /// Every kind of definition that takes memory is counted.
    #[test]
    fn definitions_are_counted_by_their_kind() {
        let count = |count: u32| number(usize::try_from(count).unwrap());
        let repeated = |item: &[u8], times: u32| {
            let times = usize::try_from(times).unwrap();
            [number(times), item.repeat(times)].concat()
        };
        let sections: [(&str, Make<'_>); 17] = [
            ("types", &|n| module(1, &count(n))),
            ("types", &|n| component(3, &count(n))),
            ("types", &|n| component(7, &count(n))),
            ("imports", &|n| module(2, &count(n))),
            ("imports", &|n| component(10, &count(n))),
            ("exports", &|n| module(7, &count(n))),
            ("exports", &|n| component(11, &count(n))),
            // A core instance with this many exports without names.
            ("exports", &|n| {
                component(2, &[vec![1, 1], repeated(&[0, 0, 0], n)].concat())
            }),
            ("globals", &|n| module(6, &count(n))),
            ("tables", &|n| module(4, &count(n))),
            ("memories", &|n| module(5, &count(n))),
            ("data segments", &|n| module(11, &count(n))),
            ("element segments", &|n| module(9, &repeated(&[1, 0, 0], n))),
            ("elements", &|n| {
                module(9, &[vec![1, 1, 0], repeated(&[0], n)].concat())
            }),
            ("instances, aliases and canonical functions", &|n| {
                component(5, &count(n))
            }),
            ("instances, aliases and canonical functions", &|n| {
                component(6, &count(n))
            }),
            ("instances, aliases and canonical functions", &|n| {
                component(8, &count(n))
            }),
        ];
        for (name, make) in sections {
            let (_, most, _) = BOUNDS
                .into_iter()
                .find(|(_, _, bounded)| *bounded == name)
                .unwrap();
            for fits in [most - 1, most] {
                assert_eq!(scan(&make(fits), "s"), Ok(None), "{name} {fits}");
            }
            let error = scan(&make(most + 1), "s").unwrap_err().to_string();
            assert!(
                error.contains(&format!("more than {most} {name}")),
                "{name}: {error}"
            );
        }
        // All modules are counted together.
        let half = section(1, &[MODULE, &section(7, &number(25_001))].concat());
        let error = scan(&[COMPONENT, &half, &half].concat(), "s")
            .unwrap_err()
            .to_string();
        assert!(error.contains("more than 50000 exports"), "{error}");
    }
}
