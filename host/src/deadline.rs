//! Waits for a bounded time for what is mostly ready already.
//!
//! Nearly everything that a request waits for is ready at the first poll. Only if it is not, a timer is
//! made here. `tokio::time::timeout` makes one each time, reads the clock, and counts a reference that
//! all threads share. On two threads at once a wait that is ready takes 0.01 µs here and 0.2 µs with
//! tokio (`cargo xtask bench --part in-process`, "bounded wait"). A request has four of them and takes
//! about 15 µs. If waiting is the rule, tokio's own serves as well.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// The time was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// What `future` gives within `limit`, counted from when it turns out that it has to be waited for. The future comes
/// pinned, since one that is handed over by value takes its room twice.
pub async fn within<F: Future + Unpin>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    bounded(|| sleep(limit), future).await
}

/// What `future`, which comes pinned as above, gives until `deadline`.
pub async fn until<F: Future + Unpin>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    bounded(|| sleep_until(deadline), future).await
}

async fn bounded<F: Future + Unpin>(make: impl Fn() -> Sleep, mut future: F) -> Result<F::Output, Elapsed> {
    let mut timer = pin!(None);
    poll_fn(|context| {
        if let Poll::Ready(output) = Pin::new(&mut future).poll(context) {
            return Poll::Ready(Ok(output));
        }
        if timer.is_none() {
            // A future that has used up what a task may do at once must not keep its own timer from being asked.
            timer.set(Some(unconstrained(make())));
        }
        let timer = timer.as_mut().as_pin_mut().expect("it has just been made");
        timer.poll(context).map(|()| Err(Elapsed))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use futures_util::FutureExt as _;
    use tokio::task::coop::consume_budget;

    use super::*;

    #[test]
    fn what_is_there_takes_no_timer() {
        // There is no runtime here that would have one.
        assert_eq!(within(Duration::ZERO, ready(1)).now_or_never(), Some(Ok(1)));
        assert_eq!(until(Instant::now(), ready(1)).now_or_never(), Some(Ok(1)));
    }

    #[tokio::test]
    async fn who_waits_does_so_until_the_limit() {
        let began = Instant::now();
        let limit = Duration::from_millis(2);
        assert_eq!(within(limit, pending::<()>()).await, Err(Elapsed));
        assert_eq!(until(began + 2 * limit, pending::<()>()).await, Err(Elapsed));
        assert!(began.elapsed() >= 2 * limit);
        let over = until(began, pending::<()>());
        assert_eq!(
            within(Duration::from_secs(60), pin!(over)).await,
            Ok(Err(Elapsed))
        );
    }

    #[tokio::test]
    async fn what_comes_in_time_is_given() {
        let comes = tokio::task::yield_now;
        assert_eq!(within(Duration::from_secs(60), pin!(comes())).await, Ok(()));
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(until(deadline, pin!(comes())).await, Ok(()));
    }

    #[tokio::test]
    async fn who_never_pauses_is_cut_off_as_well() {
        const ENOUGH: u32 = 10_000_000;
        let mut polls = 0;
        let busy = poll_fn(|context| {
            polls += 1;
            if polls > ENOUGH {
                return Poll::Ready(());
            }
            // As one does who finds something to do each time, until tokio wants it to pause.
            while pin!(consume_budget()).poll(context).is_ready() {}
            Poll::Pending
        });
        assert_eq!(within(Duration::from_millis(1), busy).await, Err(Elapsed));
    }
}
