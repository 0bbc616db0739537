//! How much memory a loaded component takes: more than its compiled code, which is a file.

use object::{Object as _, ObjectSection as _};

use crate::unguarded::{Guard, is_off};

/// Section of the data that memories start with.
const DATA: &str = ".rodata.wasm";

/// The allocator takes up to an eighth more than it was asked for.
const ROUNDING: usize = 8;

/// Bytes of memory that compiled code takes once it is loaded: the code itself, what loading left on the
/// `heap` (types, exports, functions), and a second copy of the data, from which memories are mapped.
pub fn footprint(code: &[u8], heap: usize) -> usize {
    if is_off(Guard::LoadedMemory) {
        return code.len();
    }
    // What cannot be read is not loaded either.
    let data = object::File::parse(code).map_or(0, |file| {
        let section = file.section_by_name(DATA);
        section.map_or(0, |section| usize::try_from(section.size()).unwrap_or(usize::MAX))
    });
    code.len()
        .saturating_add(heap)
        .saturating_add(heap / ROUNDING)
        .saturating_add(data)
}
