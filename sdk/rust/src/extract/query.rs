//! The query string.

use serde::de::DeserializeOwned;

use super::FromRequest;
use crate::{Error, Request};

/// The query string, through serde: a struct with one field per parameter. `Option` and `#[serde(default)]`
/// make a parameter optional.
///
/// ```
/// use mortise_sdk::prelude::*;
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Page {
///     limit: Option<u32>,
/// }
///
/// fn list(Query(page): Query<Page>) -> String {
///     format!("{} items", page.limit.unwrap_or(20))
/// }
/// # assert_eq!(list(Query(Page { limit: Some(5) })), "5 items");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequest for Query<T> {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        match serde_urlencoded::from_str(request.query.as_deref().unwrap_or("")) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(Error::bad_request(format!(
                "the query string is not what was expected: {error}"
            ))),
        }
    }
}
