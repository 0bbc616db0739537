//! Drops an instance after its response has been sent, on the thread that sent the response.
//!
//! Dropping an instance takes about as long as a short guest runs, and no caller should wait for
//! it. A task takes 0.3 µs more than the queue here (`cargo xtask bench --part in-process`,
//! "deferred drop"); a request takes 15 µs. Another thread may run the task, and its processor does
//! not have the instance in its cache.

use std::any::Any;
use std::cell::Cell;

thread_local! {
    /// The values to drop after the current poll; `None` outside of a poll.
    static LATER: Cell<Option<Vec<Box<dyn Any + Send>>>> = const { Cell::new(None) };
}

/// Polls a connection, then drops the values that [`drop_later`] received during the poll. The
/// values are dropped even if the poll panics.
pub fn polling<T>(poll: impl FnOnce() -> T) -> T {
    let _end = End::of_poll();
    poll()
}

/// Drops `value` after the poll of the connection that runs on this thread. If no such poll runs,
/// as for HTTP/2 requests and guests in the background, a task drops it.
pub fn drop_later(value: impl Send + 'static) {
    match LATER.take() {
        Some(mut later) => {
            later.push(Box::new(value));
            LATER.set(Some(later));
        }
        None => {
            tokio::spawn(async move { drop(value) });
        }
    }
}

struct End;

impl End {
    fn of_poll() -> Self {
        LATER.set(Some(Vec::new()));
        Self
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // Taken out first, because dropping a value may call `drop_later` again.
        drop(LATER.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_dropped_later_is_there_until_the_poll_has_ended() {
        let value = Arc::new(());
        let answer = polling(|| {
            drop_later(value.clone());
            Arc::strong_count(&value)
        });
        assert_eq!((answer, Arc::strong_count(&value)), (2, 1));
    }

    #[test]
    fn a_panic_leaves_nothing() {
        let value = Arc::new(());
        let later = value.clone();
        let panicked = std::panic::catch_unwind(|| {
            polling(|| {
                drop_later(later);
                panic!("on purpose");
            })
        });
        assert!(panicked.is_err());
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[tokio::test]
    async fn outside_of_a_poll_a_task_does_it() {
        let value = Arc::new(());
        drop_later(value.clone());
        assert_eq!(Arc::strong_count(&value), 2);
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[tokio::test]
    async fn what_a_dropped_value_leaves_for_later_goes_as_well() {
        struct Leaves(Arc<()>);
        impl Drop for Leaves {
            fn drop(&mut self) {
                drop_later(self.0.clone());
            }
        }
        let value = Arc::new(());
        polling(|| drop_later(Leaves(value.clone())));
        tokio::task::yield_now().await;
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
