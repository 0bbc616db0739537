//! Drops an instance once the response has been sent, on the thread that has sent it.
//!
//! Giving an instance back takes about as long as a short guest runs, and no caller should wait for
//! that. A task could do it, but it takes 0.3 µs more than the queue here (`cargo xtask bench --part
//! in-process`, "deferred drop"), of the 15 µs that a request takes, and another thread may run it, whose
//! processor does not have the instance in its cache.

use std::any::Any;
use std::cell::Cell;

thread_local! {
    /// What was dropped later in the poll under way; `None` outside of one.
    static LATER: Cell<Option<Vec<Box<dyn Any + Send>>>> = const { Cell::new(None) };
}

/// Polls a connection. Whatever was given to [`drop_later`] meanwhile is dropped once that has been done, panic or not.
pub fn polling<T>(poll: impl FnOnce() -> T) -> T {
    let _end = End::of_poll();
    poll()
}

/// Drops `value` once the connection that this thread polls has been polled. Where it polls none, as for requests of
/// HTTP/2 and guests in the background, a task does it.
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
        // Taken out first: what is dropped may want to drop something later as well.
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
