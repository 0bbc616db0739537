//! Bodies of requests: read as far as the limit, within a time.

use std::pin::pin;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};

use crate::domain::units::{ByteSize, Span};
use crate::http::problem::{Code, Problem};
use crate::invoke::deadline::within;

/// Reads a body. One that announces too much is refused before any of it is read.
pub async fn read(headers: &HeaderMap, body: Body, limit: ByteSize, timeout: Span) -> Result<Bytes, Problem> {
    let too_large = || Problem::new(Code::BodyTooLarge, format!("the body has more than {limit}"));
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > limit.0) {
        return Err(too_large());
    }
    let whole = pin!(Limited::new(body, limit.as_usize()).collect());
    match within(timeout.0, whole).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Problem::new(Code::InvalidRequest, "the body broke off").because(error)),
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format!("the body did not come within {timeout}"),
        )),
    }
}
