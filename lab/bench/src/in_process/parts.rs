//! Small parts of a request, each as the host implements it and as the libraries do.

use std::future::ready;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mortise::deadline::within;
use mortise::sandbox::deferred_drop::{drop_later, polling};

/// A timeout that is never reached, because the future is ready.
const LIMIT: Duration = Duration::from_secs(5);

/// Waits for something that is ready.
pub async fn tokio_timeouts(times: u64) {
    for number in 0..times {
        let _ = black_box(tokio::time::timeout(LIMIT, ready(number)).await);
    }
}

/// Waits for something that is ready.
pub async fn bounded_waits(times: u64) {
    for number in 0..times {
        let _ = black_box(within(LIMIT, ready(number)).await);
    }
}

/// Adds to a counter.
pub fn add<'a>(times: u64, counter: impl Fn() -> &'a AtomicU64) {
    for _ in 0..times {
        counter().fetch_add(1, Ordering::Relaxed);
    }
}

/// Drops a value in a new task.
pub async fn tasks_that_drop(times: u64) {
    for number in 0..times {
        let value = black_box(Box::new(number));
        tokio::spawn(async move { drop(value) });
        tokio::task::yield_now().await;
    }
}

/// Drops a value after the current task has yielded its thread.
pub async fn deferred_drops(times: u64) {
    for number in 0..times {
        polling(|| drop_later(black_box(Box::new(number))));
        tokio::task::yield_now().await;
    }
}
