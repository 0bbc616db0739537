//! A guest that overuses what no capability counts: WASI functions and its own resource handles.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.2",
        inline: "
            package test:greedy;

            interface hoard {
                resource thing {
                    constructor();
                }
            }

            world greedy {
                include mortise:plugin/http-plugin@0.2.0;
                import wasi:random/random@0.2.0;
                import wasi:clocks/monotonic-clock@0.2.0;
                import wasi:cli/stdout@0.2.0;
                export hoard;
            }

            package wasi:random@0.2.0 {
                interface random {
                    get-random-bytes: func(len: u64) -> list<u8>;
                    get-random-u64: func() -> u64;
                }
            }

            package wasi:io@0.2.0 {
                interface error {
                    resource error {
                        to-debug-string: func() -> string;
                    }
                }
                interface poll {
                    resource pollable {
                        ready: func() -> bool;
                        block: func();
                    }
                    poll: func(in: list<borrow<pollable>>) -> list<u32>;
                }
                interface streams {
                    use error.{error};
                    use poll.{pollable};
                    variant stream-error {
                        last-operation-failed(error),
                        closed,
                    }
                    resource input-stream {
                        read: func(len: u64) -> result<list<u8>, stream-error>;
                        blocking-read: func(len: u64) -> result<list<u8>, stream-error>;
                        skip: func(len: u64) -> result<u64, stream-error>;
                        blocking-skip: func(len: u64) -> result<u64, stream-error>;
                        subscribe: func() -> pollable;
                    }
                    resource output-stream {
                        check-write: func() -> result<u64, stream-error>;
                        write: func(contents: list<u8>) -> result<_, stream-error>;
                        blocking-write-and-flush: func(contents: list<u8>) -> result<_, stream-error>;
                        flush: func() -> result<_, stream-error>;
                        blocking-flush: func() -> result<_, stream-error>;
                        subscribe: func() -> pollable;
                        write-zeroes: func(len: u64) -> result<_, stream-error>;
                        blocking-write-zeroes-and-flush: func(len: u64) -> result<_, stream-error>;
                        splice: func(src: borrow<input-stream>, len: u64) -> result<u64, stream-error>;
                        blocking-splice: func(src: borrow<input-stream>, len: u64) -> result<u64, stream-error>;
                    }
                }
            }

            package wasi:clocks@0.2.0 {
                interface monotonic-clock {
                    use wasi:io/poll@0.2.0.{pollable};
                    type instant = u64;
                    type duration = u64;
                    now: func() -> instant;
                    resolution: func() -> duration;
                    subscribe-instant: func(when: instant) -> pollable;
                    subscribe-duration: func(when: duration) -> pollable;
                }
            }

            package wasi:cli@0.2.0 {
                interface stdout {
                    use wasi:io/streams@0.2.0.{output-stream};
                    get-stdout: func() -> output-stream;
                }
            }
        ",
        world: "test:greedy/greedy",
        generate_all,
    });
}

use bindings::exports::mortise::plugin::http_handler;
use bindings::exports::test::greedy::hoard;
use bindings::mortise::plugin::http_types::{Body, Request, Response};
use bindings::wasi::{cli::stdout, clocks::monotonic_clock, random::random};

struct Guest;

struct Thing;

impl hoard::GuestThing for Thing {
    fn new() -> Self {
        Thing
    }
}

impl hoard::Guest for Guest {
    type Thing = Thing;
}

impl http_handler::Guest for Guest {
    fn handle(request: Request) -> Response {
        let count = request.query.as_deref().unwrap_or_default();
        let count: u64 = count.parse().expect("the test asks for a number");
        let number = match request.path.as_str() {
            "/random" => random::get_random_bytes(count).len() as u64,
            "/random-often" => (0..count).map(|_| random::get_random_u64() & 1).sum(),
            "/time-often" => (0..count).map(|_| monotonic_clock::now() & 1).sum(),
            "/own" => {
                let held: Vec<_> = (0..count).map(|_| hoard::Thing::new(Thing)).collect();
                held.len() as u64
            }
            "/own-and-drop" => {
                (0..count).for_each(|_| drop(hoard::Thing::new(Thing)));
                count
            }
            "/grow" => core::arch::wasm32::memory_grow(0, count as usize) as u64,
            "/pollables" => {
                let held: Vec<_> = (0..count).map(monotonic_clock::subscribe_duration).collect();
                held.len() as u64
            }
            "/streams" => {
                let held: Vec<_> = (0..count).map(|_| stdout::get_stdout()).collect();
                held.len() as u64
            }
            _ => 0,
        };
        Response {
            status: 200,
            headers: Vec::new(),
            body: Body::Text(number.to_string()),
        }
    }
}

bindings::export!(Guest with_types_in bindings);
