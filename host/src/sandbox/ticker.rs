//! The clock that interrupts guests: a thread of its own, so that no guest can keep it from ticking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// How often a running guest is asked whether it may go on. An overshoot of the CPU budget is at most two of these.
pub const TICK: Duration = Duration::from_millis(2);

/// Ticks until it is dropped.
pub struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts to tick for these engines.
    pub fn start(engines: &[&Engine]) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let engines: Vec<_> = engines.iter().map(|engine| engine.weak()).collect();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("mortise-ticker".to_owned())
            .spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    std::thread::sleep(TICK);
                    for engine in &engines {
                        match engine.upgrade() {
                            Some(engine) => engine.increment_epoch(),
                            None => return,
                        }
                    }
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // The thread ends within one tick and cannot panic.
            let _ = thread.join();
        }
    }
}
