//! Reads request bodies up to a size limit and at a minimum pace, and charges their memory.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::domain::problem::Code;
use crate::domain::units::{ByteSize, Span, as_u64};
use crate::http::problem::Problem;

/// The memory of a request that waits for its body, besides the bytes of the body: the head,
/// buffers, the task. A caller that sends many bodies slowly is charged this for each of them.
pub const WAITING_BYTES: u64 = 16 * 1024;

/// The least time between two checks of the pace, even if the configured time is shorter.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// The minimum pace of a body.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The time in which the whole body must arrive.
    pub timeout: Span,
    /// The least bytes per second. Zero: no minimum.
    pub rate: ByteSize,
    /// The period over which the bytes are counted, repeatedly.
    pub grace: Span,
}

/// How a body was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TooSlow {
    /// It was incomplete when the time ran out.
    Timeout,
    /// Below the minimum rate.
    Rate,
}

/// The result of polling the body.
enum Next {
    Frame(Option<Result<http_body::Frame<Bytes>, axum::Error>>),
    /// No more data has arrived, for the first time.
    Waits,
    TooSlow(TooSlow),
}

/// Reads a body. A body with too large a `content-length` is rejected before any of it is read.
/// `hold` is called before bytes are stored and may reject them.
pub async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: ByteSize,
    pace: Pace,
    mut hold: impl FnMut(u64) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("the body has more than {limit}"));
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit.0) {
        return Err(too_large());
    }
    let mut kept = Kept::default();
    // Created when the reader first has to wait. Most bodies arrive together with their head.
    let mut watch: Option<Watch> = None;
    loop {
        let next = poll_fn(|context| {
            if let Poll::Ready(frame) = Pin::new(&mut body).poll_frame(context) {
                return Poll::Ready(Next::Frame(frame));
            }
            match &mut watch {
                None => Poll::Ready(Next::Waits),
                Some(watch) => watch.poll_too_slow(context).map(Next::TooSlow),
            }
        });
        match next.await {
            Next::Frame(None) => return Ok(kept.into_bytes()),
            Next::Frame(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                let bytes = as_u64(data.len());
                if as_u64(kept.len()).saturating_add(bytes) > limit.0 {
                    return Err(too_large());
                }
                hold(bytes)?;
                if let Some(watch) = &mut watch {
                    watch.progress.came(bytes);
                }
                kept.push(data);
            }
            Next::Frame(Some(Err(error))) => {
                return Err(
                    Problem::new(Code::InvalidRequest, "the body ended before it was complete")
                        .because(error),
                );
            }
            Next::Waits => {
                hold(WAITING_BYTES)?;
                watch = Some(Watch::new(pace));
            }
            Next::TooSlow(reason) => return Err(too_slow(reason, pace)),
        }
    }
}

fn too_slow(reason: TooSlow, pace: Pace) -> Problem {
    let Pace { timeout, rate, grace } = pace;
    let detail = match reason {
        TooSlow::Timeout => format!("the body did not come within {timeout}"),
        TooSlow::Rate => format!("the body came with less than {rate} per second for {grace}"),
    };
    Problem::new(Code::RequestTimeout, detail)
}

/// The bytes of a body so far. A single piece is stored as it arrived. Several pieces are copied
/// into one buffer, because the caller chooses how small they are.
#[derive(Default)]
struct Kept {
    first: Bytes,
    all: Option<BytesMut>,
}

impl Kept {
    fn len(&self) -> usize {
        self.all.as_ref().map_or(self.first.len(), BytesMut::len)
    }

    fn push(&mut self, data: Bytes) {
        match &mut self.all {
            Some(all) => all.extend_from_slice(&data),
            None if self.first.is_empty() => self.first = data,
            None => {
                let mut all = BytesMut::with_capacity(self.first.len() + data.len());
                all.extend_from_slice(&self.first);
                all.extend_from_slice(&data);
                self.first = Bytes::new();
                self.all = Some(all);
            }
        }
    }

    fn into_bytes(self) -> Bytes {
        self.all.map_or(self.first, BytesMut::freeze)
    }
}

/// Checks the pace of a body that the reader waits for.
struct Watch {
    progress: Progress,
    look: Pin<Box<Sleep>>,
}

/// The progress of a body compared with its required pace.
struct Progress {
    pace: Pace,
    deadline: Instant,
    /// The bytes since the last check.
    bytes: u64,
}

impl Watch {
    fn new(pace: Pace) -> Self {
        let now = Instant::now();
        let progress = Progress {
            pace,
            deadline: now + pace.timeout.0,
            bytes: 0,
        };
        let look = Box::pin(sleep_until(progress.next_look(now)));
        Self { progress, look }
    }

    fn poll_too_slow(&mut self, context: &mut Context<'_>) -> Poll<TooSlow> {
        loop {
            // The timer is unconstrained, so that a body that used up the task's cooperative budget
            // cannot keep the timer from being polled.
            ready!(pin!(unconstrained(self.look.as_mut())).poll(context));
            match self.progress.look(Instant::now()) {
                Ok(next) => self.look.as_mut().reset(next),
                Err(too_slow) => return Poll::Ready(too_slow),
            }
        }
    }
}

impl Progress {
    fn came(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Checks the pace since the last check, and returns the time of the next one.
    fn look(&mut self, now: Instant) -> Result<Instant, TooSlow> {
        if now >= self.deadline {
            return Err(TooSlow::Timeout);
        }
        if std::mem::take(&mut self.bytes) < self.pace.least() {
            return Err(TooSlow::Rate);
        }
        Ok(self.next_look(now))
    }

    fn next_look(&self, now: Instant) -> Instant {
        match self.pace.least() {
            0 => self.deadline,
            _ => self.deadline.min(now + self.pace.grace.0.max(SHORTEST_LOOK)),
        }
    }
}

impl Pace {
    /// The least bytes in each `grace` period.
    fn least(&self) -> u64 {
        let bytes = u128::from(self.rate.0).saturating_mul(self.grace.0.as_millis()) / 1_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{FutureExt as _, StreamExt as _, stream};

    use super::*;

    const PACE: Pace = Pace {
        timeout: Span::s(30),
        rate: ByteSize(100),
        grace: Span::s(5),
    };

    /// The time and the reason at which a body with `bytes` per interval is given up.
    fn given_up(pace: Pace, bytes: &[u64]) -> (u64, TooSlow) {
        let began = Instant::now();
        let mut progress = Progress {
            pace,
            deadline: began + pace.timeout.0,
            bytes: 0,
        };
        let mut now = progress.next_look(began);
        for interval in 0.. {
            progress.came(bytes.get(interval).or(bytes.last()).copied().unwrap_or(0));
            match progress.look(now) {
                Ok(next) => now = next,
                Err(too_slow) => return ((now - began).as_secs(), too_slow),
            }
        }
        unreachable!("the deadline ends it")
    }

    #[test]
    fn a_body_that_stops_or_drips_is_given_up() {
        assert_eq!(given_up(PACE, &[]), (5, TooSlow::Rate));
        assert_eq!(given_up(PACE, &[499]), (5, TooSlow::Rate));
        assert_eq!(given_up(PACE, &[500]), (30, TooSlow::Timeout));
        assert_eq!(given_up(PACE, &[501]), (30, TooSlow::Timeout));
        // The bytes of one interval do not count for the next one.
        assert_eq!(given_up(PACE, &[1_000_000, 500, 499]), (15, TooSlow::Rate));
    }

    #[test]
    fn without_a_rate_only_the_time_counts() {
        let pace = Pace {
            rate: ByteSize(0),
            ..PACE
        };
        assert_eq!(given_up(pace, &[]), (30, TooSlow::Timeout));
    }

    #[test]
    fn extreme_settings_overflow_nothing() {
        let pace = Pace {
            timeout: Span::s(1_000_000),
            rate: ByteSize(u64::MAX),
            grace: Span::s(1_000_000),
        };
        assert_eq!(given_up(pace, &[u64::MAX - 1]), (1_000_000, TooSlow::Timeout));
        assert_eq!(
            Pace {
                grace: Span::s(0),
                ..pace
            }
            .least(),
            0
        );
    }

    /// Reads available pieces, of which at most `most` bytes may be held. Returns `None` if the
    /// reader would wait for more.
    fn read_all(pieces: Vec<usize>, waits: bool, most: usize) -> Option<Result<usize, Code>> {
        let pieces = pieces
            .into_iter()
            .map(|length| Ok::<_, Infallible>(Bytes::from(vec![b'x'; length])));
        let body = match waits {
            true => Body::from_stream(stream::iter(pieces).chain(stream::pending())),
            false => Body::from_stream(stream::iter(pieces)),
        };
        let mut held = 0;
        let hold = |bytes: u64| {
            held += bytes;
            match held > as_u64(most) {
                true => Err(Problem::new(Code::Overloaded, "full")),
                false => Ok(()),
            }
        };
        let whole = read(&HeaderMap::new(), body, ByteSize::mib(1), PACE, hold).now_or_never()?;
        Some(whole.map(|bytes| bytes.len()).map_err(|problem| problem.code()))
    }

    #[tokio::test]
    async fn every_byte_is_held_before_it_is_kept() {
        for (pieces, length) in [(vec![], 0), (vec![1], 1), (vec![100_000; 3], 300_000)] {
            assert_eq!(read_all(pieces.clone(), false, length), Some(Ok(length)));
            if length > 0 {
                assert_eq!(read_all(pieces, false, length - 1), Some(Err(Code::Overloaded)));
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_waited_for_costs_more_than_its_bytes() {
        let cost = usize::try_from(WAITING_BYTES).unwrap();
        assert_eq!(read_all(vec![7], true, cost + 7), None);
        assert_eq!(read_all(vec![7], true, cost + 6), Some(Err(Code::Overloaded)));
    }
}
