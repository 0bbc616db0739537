//! The ticker interrupts running guests at a fixed interval. It has a thread of its own, so that no
//! guest can block it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// The interval at which running guests are interrupted. A guest exceeds its CPU budget by at most
/// two ticks.
pub const TICK: Duration = Duration::from_millis(2);

/// Increments the epoch of its engines until it is dropped.
pub struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Starts the thread for these engines.
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
