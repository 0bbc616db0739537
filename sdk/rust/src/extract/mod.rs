//! Extractors: the arguments of handlers.
//!
//! | extractor | takes | rejects with |
//! | --- | --- | --- |
//! | [`Path<T>`] | the captured path parameters | 400 `invalid-request`, which names the parameter |
//! | [`Query<T>`] | the query string | 400 `invalid-request`, which names the parameter |
//! | [`Json<T>`](crate::Json) | the body, parsed | 400 `invalid-request` |
//! | [`Text`], [`Bytes`] | the raw body | 400 if [`Text`] is not UTF-8 |
//! | [`Headers`] | all headers | |
//! | [`Cookies`] | the cookies | |
//! | [`Context`] | the identity of the invocation | |
//! | [`Principal`] | the authenticated caller | 401 on a public route, which never has one |
//! | [`Request`] | everything | |
//! | `Option<E>` | `None` if `E` rejects the request | |

mod body;
mod cookies;
mod headers;
mod parameter;
mod path;
mod query;

pub use body::{Bytes, Text};
pub use cookies::Cookies;
pub use headers::Headers;
pub use path::Path;
pub use query::Query;

use crate::context::{self, Context, Principal};
use crate::{Error, Request};

/// A value that can be extracted from a request. Implement it for your own extractors.
///
/// ```
/// use mortise_sdk::extract::FromRequest;
/// use mortise_sdk::prelude::*;
///
/// struct IfMatch(i64);
///
/// impl FromRequest for IfMatch {
///     fn from_request(request: &mut Request) -> Result<Self, Error> {
///         let version = request.header("if-match").ok_or_else(|| Error::bad_request("If-Match is missing"))?;
///         Ok(Self(version.parse().map_err(|_| Error::bad_request("If-Match is not a version"))?))
///     }
/// }
///
/// fn update(IfMatch(version): IfMatch) -> String {
///     format!("updating version {version}")
/// }
/// # assert_eq!(update(IfMatch(3)), "updating version 3");
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no extractor",
    note = "handlers take `Path`, `Query`, `Json`, `Text`, `Bytes`, `Headers`, `Cookies`, `Principal`, `Context`, \
            `Request`, an `Option` of one of them, or a type that implements `FromRequest`"
)]
pub trait FromRequest: Sized {
    /// Extracts the value, or rejects the request.
    ///
    /// ```
    /// use mortise_sdk::extract::{FromRequest, Headers};
    /// use mortise_sdk::Request;
    ///
    /// assert!(Headers::from_request(&mut Request::default()).is_ok());
    /// ```
    fn from_request(request: &mut Request) -> Result<Self, Error>;
}

impl FromRequest for Request {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        Ok(request.clone())
    }
}

impl FromRequest for Context {
    fn from_request(_request: &mut Request) -> Result<Self, Error> {
        Ok(context::current())
    }
}

impl FromRequest for Principal {
    fn from_request(_request: &mut Request) -> Result<Self, Error> {
        context::current()
            .principal
            .ok_or_else(|| Error::unauthorized("this needs a credential"))
    }
}

impl<E: FromRequest> FromRequest for Option<E> {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        Ok(E::from_request(request).ok())
    }
}
