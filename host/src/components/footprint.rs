//! Memory of a loaded component, which is more than the size of its compiled code.

use object::{Object as _, ObjectSection as _};

use crate::unguarded::{Guard, is_off};

/// The section with the initial data of memories.
const DATA: &str = ".rodata.wasm";

/// The allocator's overhead: up to an eighth of the requested bytes.
const ROUNDING: usize = 8;

/// Memory of loaded code: the code itself, the heap that loading allocated (types, exports,
/// functions), and a second copy of the data, from which memories are mapped.
pub fn footprint(code: &[u8], heap: usize) -> usize {
    if is_off(Guard::LoadedMemory) {
        return code.len();
    }
    // Code that cannot be parsed cannot be loaded either.
    let data = object::File::parse(code).map_or(0, |file| {
        let section = file.section_by_name(DATA);
        section.map_or(0, |section| usize::try_from(section.size()).unwrap_or(usize::MAX))
    });
    code.len()
        .saturating_add(heap)
        .saturating_add(heap / ROUNDING)
        .saturating_add(data)
}
