//! A payload that is text or bytes.

/// A payload of the cache or of outbound HTTP: text or bytes.
///
/// ```
/// use mortise_sdk::Content;
///
/// assert_eq!(Content::from("hello").as_text(), Some("hello"));
/// assert_eq!(Content::from(vec![0xff]).as_text(), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// UTF-8 text.
    Text(String),
    /// Anything else.
    Bytes(Vec<u8>),
}

impl Content {
    /// The payload as text. Bytes count as text if they are valid UTF-8.
    ///
    /// ```
    /// # use mortise_sdk::Content;
    /// assert_eq!(Content::from(b"ok".to_vec()).as_text(), Some("ok"));
    /// ```
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(bytes) => str::from_utf8(bytes).ok(),
        }
    }

    /// The payload as bytes.
    ///
    /// ```
    /// # use mortise_sdk::Content;
    /// assert_eq!(Content::from("ok").as_bytes(), b"ok");
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// The payload's bytes, without a copy.
    ///
    /// ```
    /// # use mortise_sdk::Content;
    /// assert_eq!(Content::from("ok").into_bytes(), b"ok".to_vec());
    /// ```
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}
