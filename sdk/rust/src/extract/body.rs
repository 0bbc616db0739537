//! The extractors of the body: JSON, text or bytes.

use serde::de::DeserializeOwned;

use super::FromRequest;
use crate::{Content, Error, Json, Request, json};

/// The raw body as bytes; empty if there is none.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn size(Bytes(body): Bytes) -> String {
///     body.len().to_string()
/// }
/// # assert_eq!(size(Bytes(vec![1, 2])), "2");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

/// The raw body as text; empty if there is none. A body that is not UTF-8 is rejected with 400.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn lines(Text(body): Text) -> String {
///     body.lines().count().to_string()
/// }
/// # assert_eq!(lines(Text("a\nb".into())), "2");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(pub String);

impl FromRequest for Bytes {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        Ok(Self(
            request.body.clone().map(Content::into_bytes).unwrap_or_default(),
        ))
    }
}

impl FromRequest for Text {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        match &request.body {
            None => Ok(Self::default()),
            Some(Content::Text(text)) => Ok(Self(text.clone())),
            Some(Content::Bytes(bytes)) => match str::from_utf8(bytes) {
                Ok(text) => Ok(Self(text.to_owned())),
                Err(_) => Err(Error::bad_request("the body is not UTF-8 text")),
            },
        }
    }
}

impl<T: DeserializeOwned> FromRequest for Json<T> {
    fn from_request(request: &mut Request) -> Result<Self, Error> {
        let Some(body) = &request.body else {
            return Err(Error::bad_request("a JSON body is missing"));
        };
        Self::parse(body.as_bytes())
    }
}

impl<T: DeserializeOwned> Json<T> {
    /// Parses a body that was extracted as [`Text`] or [`Bytes`], like the extractor. It is for
    /// handlers that check the raw body first.
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// fn receive(Text(body): Text) -> Result<Json<i64>, Error> {
    ///     // The signature of the body is checked here.
    ///     Json::parse(&body)
    /// }
    /// assert_eq!(receive(Text("7.0".into())).unwrap().0, 7);
    /// assert_eq!(receive(Text("seven".into())).unwrap_err().status(), 400);
    /// ```
    pub fn parse(body: impl AsRef<[u8]>) -> Result<Self, Error> {
        json::from_slice(body.as_ref()).map(Self).map_err(|error| {
            Error::bad_request(format!("the body is not the JSON that was expected: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: impl Into<Content>) -> Request {
        Request {
            body: Some(body.into()),
            ..Request::default()
        }
    }

    #[test]
    fn json_names_the_place_of_a_mistake() {
        let Err(error) = Json::<Vec<u8>>::from_request(&mut request("[1, 2, x]")) else {
            panic!("that is not JSON");
        };
        assert_eq!(error.status(), 400);
        assert!(error.detail().contains("line 1 column 8"), "{error}");
    }

    #[test]
    fn json_takes_integers_that_are_written_as_floats_a_byte_order_mark_and_any_content_type() {
        let mut bytes = vec![0xef, 0xbb, 0xbf];
        bytes.extend(b"[5.0]");
        let mut request = request(bytes);
        request.headers = vec![("content-type".into(), "application/vnd.shop+json".into())];
        assert_eq!(
            Json::<Vec<i64>>::from_request(&mut request).ok(),
            Some(Json(vec![5]))
        );
    }

    #[test]
    fn text_takes_bytes_that_are_utf8_and_refuses_others() {
        assert_eq!(
            Text::from_request(&mut request(b"ok".to_vec()))
                .map(|text| text.0)
                .ok(),
            Some("ok".into())
        );
        assert!(Text::from_request(&mut request(vec![0xff])).is_err());
    }

    #[test]
    fn a_missing_body_is_empty_for_text_and_an_error_for_json() {
        assert!(Bytes::from_request(&mut Request::default()).is_ok_and(|bytes| bytes.0.is_empty()));
        assert!(Json::<i64>::from_request(&mut Request::default()).is_err());
    }
}
