//! Request bodies: read up to a limit, at a minimum pace, into memory that somebody answers for.

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

/// What a body that is waited for costs besides its bytes: the head of its request, buffers, the
/// task. A caller that sends many bodies slowly holds this for each.
pub const WAITING_BYTES: u64 = 16 * 1024;

/// However short the time is over which bytes are counted, they are counted no more often than
/// this.
const SHORTEST_LOOK: Duration = Duration::from_millis(10);

/// How slowly a body may come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Until the whole body must have come.
    pub timeout: Span,
    /// Bytes per second that must come meanwhile. Zero: no minimum.
    pub rate: ByteSize,
    /// The time over which they are counted, again and again.
    pub grace: Span,
}

/// The body came too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TooSlow {
    /// Not whole in time.
    Timeout,
    /// Below the minimum rate.
    Rate,
}

/// What a look at the body gives.
enum Next {
    Frame(Option<Result<http_body::Frame<Bytes>, axum::Error>>),
    /// The caller has not sent more yet, for the first time.
    Waits,
    TooSlow(TooSlow),
}

/// Reads a body. One that announces too much is refused before any of it is read. `hold` is asked
/// before bytes are kept and may refuse them.
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
    // Made when the body is first waited for: most come whole with their head.
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
                return Err(Problem::new(Code::InvalidRequest, "the body broke off").because(error));
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

/// The bytes of a body so far. A single piece is kept as it came. Further ones are copied together,
/// since a caller chooses how small they are.
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

/// Watches the pace of a body that is waited for.
struct Watch {
    progress: Progress,
    look: Pin<Box<Sleep>>,
}

/// How a body comes, by the time that it is given.
struct Progress {
    pace: Pace,
    deadline: Instant,
    /// Bytes since the last look.
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
            // A body that uses up what its task may do at once must not keep its own timer from
            // being asked.
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

    /// Whether the body came quickly enough since the last look, and when to look again.
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
    /// Bytes that must come within each `grace`.
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

    /// When a body that brings `bytes` in each interval is given up, and why.
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

    /// Reads pieces that are all there, of which at most `most` bytes may be held. Ends where more
    /// would be waited for.
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
