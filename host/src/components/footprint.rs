//! How much memory a loaded component takes: more than its compiled code, which is a file.

use object::{Object as _, ObjectSection as _};

/// Section in which wasmtime stores what it knows of a component: exports, types, functions,
/// segments.
const INFO: &str = ".wasmtime.info";

/// Section of the data that memories start with.
const DATA: &str = ".rodata.wasm";

/// Bytes on the heap for each byte of the description that it is read from, at most. An export of
/// two letters is 8 bytes in the file and 94 on the heap; `tests/loaded` measures it for each kind
/// of definition.
const HEAP_PER_INFO: usize = 14;

/// What is held for each component besides.
const BASE: usize = 64 * 1024;

/// Bytes of memory that compiled code takes once it is loaded: the code itself, the description as
/// it is read to the heap, and a second copy of the data, from which memories are mapped.
pub fn footprint(code: &[u8]) -> usize {
    let size = |name: &str, file: &object::File<'_>| {
        let section = file.section_by_name(name);
        section.map_or(0, |section| usize::try_from(section.size()).unwrap_or(usize::MAX))
    };
    // What cannot be read is not loaded either.
    let (info, data) =
        object::File::parse(code).map_or((0, 0), |file| (size(INFO, &file), size(DATA, &file)));
    BASE.saturating_add(code.len())
        .saturating_add(info.saturating_mul(HEAP_PER_INFO))
        .saturating_add(data)
}
