//! Standard output and error without WASI: each printed line becomes a log line. A line without a
//! line feed ends with the request, so that it belongs to its own invocation.
//!
//! Every plugin contains the panic hook of the standard library. Through wasi-libc, it alone
//! imports nineteen WASI functions (streams, terminals, environment, exit), and linking them costs
//! more than the rest of a fresh instance. So this module defines four functions of libc, which the
//! linker prefers to those of libc's archive. A sandbox has no files, no terminal and no
//! environment, so nothing is lost.
//!
//! This is the only `unsafe` code of the crate besides the generated bindings. The signatures are
//! those of libc on a 32-bit target. The callers are in the standard library and pass buffers that
//! are valid during the call.

#![expect(unsafe_code, reason = "C functions are replaced, see above")]

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::slice;
use std::io::{self, Write as _};

use super::Backend;
use super::lines::Lines;
use super::wasm::Imports;
use crate::log::Level;

const STDOUT: c_int = 1;
const STDERR: c_int = 2;

thread_local! {
    static OUT: Cell<Lines> = const { Cell::new(Lines::new()) };
    static ERR: Cell<Lines> = const { Cell::new(Lines::new()) };
    static ABORTS: Cell<bool> = const { Cell::new(false) };
}

/// Flushes the standard library's buffer, and ends lines without a line feed.
pub(super) fn end_lines() {
    // The standard library does not tell whether anything was printed. If nothing was, this
    // allocates its buffer of one KiB, once per instance.
    _ = io::stdout().flush();
    for stream in [STDOUT, STDERR] {
        with_lines(stream, |lines| lines.end(|line| log(stream, line)));
    }
}

/// `struct iovec` of libc.
#[repr(C)]
struct IoVector {
    base: *const u8,
    length: usize,
}

/// The standard library writes only to the two output streams.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, buffer: *const u8, length: usize) -> isize {
    // SAFETY: the caller guarantees that `length` bytes can be read from `buffer`.
    print(descriptor, unsafe { bytes(buffer, length) });
    length.cast_signed()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(descriptor: c_int, vectors: *const IoVector, count: c_int) -> isize {
    let count = usize::try_from(count).unwrap_or(0);
    let mut printed = 0;
    for index in 0..count {
        // SAFETY: the caller guarantees that there are `count` readable vectors.
        let part = unsafe {
            let vector = &*vectors.add(index);
            bytes(vector.base, vector.length)
        };
        print(descriptor, part);
        printed += part.len();
    }
    printed.cast_signed()
}

/// A sandbox has no environment.
#[unsafe(no_mangle)]
extern "C" fn getenv(_name: *const c_char) -> *mut c_void {
    core::ptr::null_mut()
}

/// Ends the instance with a trap, and the host responds.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    // A nested call, for example for lack of memory, skips this.
    if !ABORTS.replace(true) {
        end_lines();
    }
    core::arch::wasm32::unreachable()
}

/// # Safety
///
/// `length` bytes can be read from `start` as long as the slice is used.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> &'a [u8] {
    // An empty vector may have a pointer that is invalid for a slice.
    if length == 0 {
        &[]
    } else {
        unsafe { slice::from_raw_parts(start, length) }
    }
}

fn print(descriptor: c_int, text: &[u8]) {
    with_lines(descriptor, |lines| {
        lines.write(text, |line| log(descriptor, line))
    });
}

/// The buffer is taken out during the call, because a failing allocation prints as well.
fn with_lines(descriptor: c_int, work: impl FnOnce(&mut Lines)) {
    let stream = if descriptor == STDERR { &ERR } else { &OUT };
    let mut lines = stream.take();
    work(&mut lines);
    stream.set(lines);
}

fn log(descriptor: c_int, line: &str) {
    // The panic hook's advice is useless in a sandbox, which has no such variable.
    if line.starts_with("note: run with `RUST_BACKTRACE") {
        return;
    }
    let level = if descriptor == STDERR {
        Level::Error
    } else {
        Level::Info
    };
    Imports::log(level, line, &[]);
}
