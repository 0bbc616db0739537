//! Sends the body of a response in pieces, to observe how fast the caller reads it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::activity::Ticket;

/// The bytes that a caller has to read within the write timeout. Smaller pieces demand less of a
/// slow caller, but cost more.
const PIECE_BYTES: usize = 64 * 1024;

/// A body in pieces. Each piece is tracked until it is sent.
pub struct Sending {
    body: Body,
    rest: Bytes,
    ticket: Arc<Ticket>,
}

impl Sending {
    /// The body of the response to the request that `ticket` stands for.
    pub fn new(body: Body, ticket: Ticket) -> Self {
        let sending = Self {
            body,
            rest: Bytes::new(),
            ticket: Arc::new(ticket),
        };
        sending.note_end();
        sending
    }

    fn note_end(&self) {
        if http_body::Body::is_end_stream(self) {
            self.ticket.done();
        }
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    self.ticket.done();
                    return Poll::Ready(None);
                }
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.note_end();
        Poll::Ready(Some(Ok(Frame::data(self.ticket.piece(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http::Version;
    use http_body::Body as _;
    use http_body_util::BodyExt as _;
    use tokio::time::Instant;

    use super::*;
    use crate::server::activity::Activity;

    #[tokio::test]
    async fn a_body_arrives_whole_and_in_pieces() {
        let bytes: Vec<u8> = (0..=250).cycle().take(2 * PIECE_BYTES + 1).collect();
        let activity = Arc::new(Activity::new(Instant::now()));
        let mut sending = Sending::new(
            bytes.clone().into(),
            activity.begin(Instant::now(), Version::HTTP_11),
        );
        let mut pieces = Vec::new();
        let mut left = 2 * PIECE_BYTES as u64 + 1;
        while !sending.is_end_stream() {
            assert_eq!(sending.size_hint().exact(), Some(left));
            let piece = sending.frame().await.unwrap().unwrap().into_data().unwrap();
            left -= piece.len() as u64;
            pieces.push(piece);
        }
        assert_eq!(
            pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
            [PIECE_BYTES, PIECE_BYTES, 1]
        );
        assert_eq!(pieces.concat(), bytes);
    }
}
