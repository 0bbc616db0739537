//! Runs the tasks of an invocation's outbound requests and charges their CPU time.
//!
//! A remote server determines the CPU time that its response takes: for parsing, TLS and copying
//! the body. All of this runs in the tasks of [`Work::spawn`]. Their CPU time is charged to the
//! invocation, whose requests fail once its `cpu` limit is reached. After 2 ms the tasks continue
//! on the background runtime, which is shared fairly between tenants.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::super::{CpuTime, thread_time};
use crate::fair_semaphore::{FairSemaphore, Lane, Permit, Waiting};

/// How long the requests of one invocation together may use the threads that serve connections.
const FOREGROUND: Duration = Duration::from_millis(2);

/// The outbound tasks of one invocation.
#[derive(Debug)]
pub struct Work {
    cpu_time: Arc<CpuTime>,
    limit: Duration,
    worked_ns: AtomicU64,
    background: Background,
    lane: Arc<Lane>,
}

/// The background runtime. The tenant that uses the fewest threads goes first.
#[derive(Clone, Debug)]
pub struct Background {
    threads: Handle,
    permits: Arc<FairSemaphore>,
}

impl Background {
    /// Uses the threads of `runtime`.
    pub fn new(runtime: Handle) -> Self {
        let permits = FairSemaphore::oversubscribed(runtime.metrics().num_workers());
        Self {
            threads: runtime,
            permits,
        }
    }

    /// The runtime, for work that needs no permit.
    pub fn threads(&self) -> &Handle {
        &self.threads
    }
}

impl Work {
    /// Charges tasks to `cpu_time`, up to `limit`. `lane` is the tenant's queue in the background.
    pub fn new(cpu_time: Arc<CpuTime>, limit: Duration, background: Background, lane: Arc<Lane>) -> Self {
        Self {
            cpu_time,
            limit,
            worked_ns: AtomicU64::new(0),
            background,
            lane,
        }
    }

    /// The CPU time that the tasks may use.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether the tasks have used up the CPU time of an invocation. The guest's own time does not
    /// count here: in the foreground it is measured by the wall clock, so on a busy machine it may
    /// exceed the CPU time.
    pub fn is_spent(&self) -> bool {
        self.worked() >= self.limit
    }

    /// Whether the tasks have used up their time in the foreground.
    fn is_long(&self) -> bool {
        self.worked() >= FOREGROUND
    }

    fn worked(&self) -> Duration {
        Duration::from_nanos(self.worked_ns.load(Ordering::Relaxed))
    }

    /// Runs `task` on the current runtime, and in the background once [`FOREGROUND`] is used up.
    /// Dropping the handle cancels it.
    pub fn spawn<F>(self: &Arc<Self>, task: F) -> AbortOnDropHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (work, mut task) = (self.clone(), Box::pin(task));
        AbortOnDropHandle::new(tokio::spawn(async move {
            let in_front = poll_fn(|context| {
                if work.is_long() {
                    return Poll::Ready(None);
                }
                let poll = work.charged(|| task.as_mut().poll(context));
                match poll {
                    Poll::Pending if work.is_long() => Poll::Ready(None),
                    poll => poll.map(Some),
                }
            });
            match in_front.await {
                Some(output) => output,
                None => work.in_background(task).await,
            }
        }))
    }

    async fn in_background<F>(self: &Arc<Self>, mut task: Pin<Box<F>>) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let work = self.clone();
        let task = self.background.threads.spawn(async move {
            let mut waiting = None;
            poll_fn(|context| {
                let _permit = ready!(work.poll_permit(&mut waiting, context));
                work.charged(|| task.as_mut().poll(context))
            })
            .await
        });
        // Dropping this future cancels the task.
        match AbortOnDropHandle::new(task)
            .await
            .map_err(JoinError::try_into_panic)
        {
            Ok(output) => output,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // The background runtime ends only with the process.
            Err(Err(_)) => std::future::pending().await,
        }
    }

    /// Polls for a background permit of the tenant. `waiting` keeps the queue position between
    /// polls.
    fn poll_permit(&self, waiting: &mut Option<Waiting>, context: &mut Context<'_>) -> Poll<Permit> {
        let permits = &self.background.permits;
        let mut next = match waiting.take() {
            Some(next) => next,
            None => match permits.try_acquire(&self.lane) {
                Some(permit) => return Poll::Ready(permit),
                None => permits.wait(&self.lane),
            },
        };
        let poll = Pin::new(&mut next).poll(context);
        if poll.is_pending() {
            *waiting = Some(next);
        }
        poll
    }

    /// Charges the CPU time of `poll`.
    fn charged<T>(&self, poll: impl FnOnce() -> T) -> T {
        let before = thread_time();
        let output = poll();
        let ran = thread_time().saturating_sub(before);
        self.cpu_time.add(ran);
        let nanoseconds = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        self.worked_ns.fetch_add(nanoseconds, Ordering::Relaxed);
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(limit: Duration) -> Arc<Work> {
        let background = Background::new(Handle::current());
        let lane = Arc::new(Lane::new(1));
        Arc::new(Work::new(Arc::default(), limit, background, lane))
    }

    /// Uses CPU time for `time`.
    fn compute(time: Duration) {
        let began = thread_time();
        while thread_time().saturating_sub(began) < time {}
    }

    #[tokio::test]
    async fn what_a_task_computes_is_charged_and_what_it_waits_for_is_not() {
        let work = work(Duration::from_millis(5));
        let task = work.spawn(async {
            compute(Duration::from_millis(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
            1
        });
        assert_eq!(task.await.unwrap(), 1);
        let charged = work.cpu_time.total();
        assert!(charged >= Duration::from_millis(1), "{charged:?}");
        assert!(charged < Duration::from_millis(5), "{charged:?}");
        assert!(!work.is_spent());
        work.spawn(async { compute(Duration::from_millis(5)) })
            .await
            .unwrap();
        assert!(work.is_spent());
    }

    #[test]
    fn work_that_takes_a_tick_goes_on_in_the_background_with_all_that_follows() {
        let runtime = |name| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(1).thread_name(name).build().unwrap()
        };
        let (front, background) = (runtime("front"), runtime("background"));
        let thread = || std::thread::current().name().unwrap().to_owned();
        let lane = Arc::new(Lane::new(1));
        let background = Background::new(background.handle().clone());
        let work = Arc::new(Work::new(Arc::default(), Duration::MAX, background.clone(), lane));
        front.block_on(async {
            let ran_on = work.spawn(async move {
                let began = thread();
                compute(FOREGROUND);
                tokio::task::yield_now().await;
                (began, thread())
            });
            assert_eq!(
                ran_on.await.unwrap(),
                ("front".to_owned(), "background".to_owned())
            );
            let next = work.spawn(async move { thread() });
            assert_eq!(next.await.unwrap(), "background");
        });
        assert_eq!((background.permits.held(), background.permits.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_task_that_is_dropped_in_the_background_ends_and_gives_its_turn_back() {
        let work = work(Duration::MAX);
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let task = work.spawn(async move {
            compute(FOREGROUND);
            tokio::task::yield_now().await;
            std::future::pending::<()>().await;
            drop(sender);
        });
        tokio::task::yield_now().await;
        drop(task);
        assert!(receiver.await.is_err(), "the task was dropped with its sender");
        assert_eq!(work.background.permits.held(), 0);
    }
}
