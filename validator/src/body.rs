//! The rules that decide whether a body is JSON that can be checked. The host and the SDK's test
//! host use them.

/// Whether a `content-type` says that a body is JSON: `application/json`, or any type with the
/// suffix `+json` (RFC 6839, 3.1).
pub fn is_json_type(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type.to_ascii_lowercase();
    let has_suffix = |(kind, subtype): (&str, &str)| {
        let name = subtype.strip_suffix("+json").unwrap_or_default();
        !kind.is_empty() && !name.is_empty()
    };
    media_type == "application/json" || media_type.split_once('/').is_some_and(has_suffix)
}

/// Whether a `content-encoding` requires decoding, which neither the host nor the test host does.
pub fn is_coded(content_encoding: &[u8]) -> bool {
    let coding = content_encoding.trim_ascii();
    !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")
}

/// Removes the byte order mark that some editors and clients write, and that a parser may ignore
/// (RFC 8259, 8.1).
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_type() {
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/cloudevents+json",
            "text/x+json",
        ] {
            assert!(is_json_type(json), "{json}");
        }
        for other in [
            "",
            "text/plain",
            "application/jsonp",
            "+json",
            "/+json",
            "application/+json",
        ] {
            assert!(!is_json_type(other), "{other}");
        }
    }

    #[test]
    fn identity_is_no_coding() {
        assert!(!is_coded(b"") && !is_coded(b" Identity "));
        assert!(is_coded(b"gzip") && is_coded(b"identity, br"));
    }

    #[test]
    fn one_byte_order_mark_is_ignored() {
        assert_eq!(without_bom("\u{feff}{}".as_bytes()), b"{}");
        assert_eq!(without_bom(b"{}"), b"{}");
    }
}
