//! The rule that decides whether a body is text or bytes. It applies to incoming requests and to
//! responses of other servers.

use super::bindings::types::Content;

/// Converts a body to the form that plugins get. It is text if the content type is JSON, a form or
/// `text/*` and the bytes are UTF-8. Otherwise it is bytes.
pub fn content_of(content_type: Option<&str>, bytes: Vec<u8>) -> Content {
    if !content_type.is_some_and(is_textual) {
        return Content::Bytes(bytes);
    }
    match String::from_utf8(bytes) {
        Ok(text) => Content::Text(text),
        Err(error) => Content::Bytes(error.into_bytes()),
    }
}

fn is_textual(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let Some((kind, subtype)) = essence.split_once('/') else {
        return false;
    };
    let is = |word: &str, wanted: &str| word.eq_ignore_ascii_case(wanted);
    let is_suffixed = subtype
        .rsplit_once('+')
        .is_some_and(|(_, suffix)| is(suffix, "json"));
    is(kind, "text")
        || is_suffixed
        || (is(kind, "application") && (is(subtype, "json") || is(subtype, "x-www-form-urlencoded")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_forms_and_text_are_text() {
        for content_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/problem+json",
            "model/gltf+json",
            "Model/GLTF+JSON",
            "application/x-www-form-urlencoded",
            "text/plain",
            "text/html;charset=utf-8",
        ] {
            assert!(
                matches!(content_of(Some(content_type), b"{}".to_vec()), Content::Text(text) if text == "{}"),
                "{content_type}"
            );
        }
    }

    #[test]
    fn everything_else_is_bytes() {
        for content_type in [
            None,
            Some(""),
            Some("text"),
            Some("image/png"),
            Some("application/octet-stream"),
            Some("application/jsonx"),
            Some("multipart/form-data; boundary=x"),
        ] {
            assert!(
                matches!(content_of(content_type, b"{}".to_vec()), Content::Bytes(_)),
                "{content_type:?}"
            );
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_bytes() {
        let content = content_of(Some("text/plain"), vec![0xff, 0x00]);
        assert!(matches!(content, Content::Bytes(bytes) if bytes == [0xff, 0x00]));
    }
}
