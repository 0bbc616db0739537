//! Printing without WASI: each line that the plugin or a panic prints becomes a log line. A line
//! without a line feed ends with the request, so that it stands under its own invocation.
//!
//! The panic hook of the standard library is in every plugin. Left to wasi-libc, it alone imports nineteen WASI
//! functions (streams, terminals, the environment, exit), and linking those into each fresh instance costs more
//! than everything else about it. So these four functions of libc are defined here, and the linker takes them
//! before it looks into libc's archive. A sandbox has no files, no terminal and no environment: nothing is lost.
//!
//! This is the only `unsafe` of the crate outside of the generated bindings. The signatures are those of libc on a
//! 32-bit target; the callers are the standard library's, which pass buffers that live through the call.

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

/// Writes what the standard library still holds, and ends lines without a line feed.
pub(super) fn end_lines() {
    // The standard library does not say whether anything was printed. Where nothing was, this makes
    // its buffer of one kibibyte, once for each instance.
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

/// Only the two outputs come here: there is nothing else to write to.
#[unsafe(no_mangle)]
unsafe extern "C" fn write(descriptor: c_int, buffer: *const u8, length: usize) -> isize {
    // SAFETY: the caller says that `length` bytes can be read from `buffer`.
    print(descriptor, unsafe { bytes(buffer, length) });
    length.cast_signed()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn writev(descriptor: c_int, vectors: *const IoVector, count: c_int) -> isize {
    let count = usize::try_from(count).unwrap_or(0);
    let mut printed = 0;
    for index in 0..count {
        // SAFETY: the caller says that there are `count` vectors, and that each can be read.
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

/// The host sees a trap and answers for the plugin.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    // What comes here again meanwhile found no memory, for instance.
    if !ABORTS.replace(true) {
        end_lines();
    }
    core::arch::wasm32::unreachable()
}

/// # Safety
///
/// `length` bytes can be read from `start` as long as the slice is used.
unsafe fn bytes<'a>(start: *const u8, length: usize) -> &'a [u8] {
    // An empty vector may hold any pointer, also one that a slice must not have.
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

/// The lines are taken out meanwhile: an allocation that fails prints as well.
fn with_lines(descriptor: c_int, work: impl FnOnce(&mut Lines)) {
    let stream = if descriptor == STDERR { &ERR } else { &OUT };
    let mut lines = stream.take();
    work(&mut lines);
    stream.set(lines);
}

fn log(descriptor: c_int, line: &str) {
    // The panic hook ends with advice that helps nobody here: a sandbox has no such variable.
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
