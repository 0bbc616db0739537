//! Starts background tasks again that panicked.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The wait before a task is started again.
const RESTART: Duration = Duration::from_secs(1);

/// Runs a task on the current tokio runtime until it returns or `stop` is cancelled. After a panic,
/// which is a fault of the host, it is started again, so that one fault does not stop all jobs for
/// good.
pub fn supervise<F>(
    name: &'static str,
    stop: CancellationToken,
    task: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    supervise_with(RESTART, name, stop, task)
}

fn supervise_with<F>(
    restart: Duration,
    name: &'static str,
    stop: CancellationToken,
    mut task: impl FnMut() -> F + Send + 'static,
) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        while AssertUnwindSafe(task()).catch_unwind().await.is_err() {
            tracing::error!(
                task = name,
                "a background task panicked; the host starts it again"
            );
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(restart) => {}
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_is_started_again_until_it_returns() {
        let (starts, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let (counted, told) = (starts.clone(), ended.clone());
        let task = supervise_with(Duration::ZERO, "test", CancellationToken::new(), move || {
            let (counted, told) = (counted.clone(), told.clone());
            async move {
                if counted.fetch_add(1, Ordering::SeqCst) < 2 {
                    std::panic::resume_unwind(Box::new(()));
                }
                told.notify_one();
            }
        });
        ended.notified().await;
        task.await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 3);
    }
}
