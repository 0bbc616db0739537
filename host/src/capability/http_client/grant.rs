//! Parses the guest's URL once and checks that the tenant granted its origin.

use std::collections::BTreeSet;

use http::uri::PathAndQuery;
use url::{Host, Position, Url};

use super::error::SendError;
use crate::domain::origin::Origin;

/// The longest URL. Longer ones, which most servers reject, are neither parsed nor logged.
const URL_BYTES: usize = 8 * 1024;

/// The target of a request. The connection, the TLS name and the request line all come from here;
/// the guest's text is not read again.
#[derive(Clone, Debug)]
pub struct Target {
    /// A granted origin.
    pub origin: Origin,
    /// Its host.
    pub host: Host<String>,
    /// The path and query, without the fragment.
    pub path: PathAndQuery,
}

/// Parses `url`. Returns an error if its origin is not `granted`.
pub fn target(url: &str, granted: &BTreeSet<Origin>) -> Result<Target, SendError> {
    let parsed = parse(url)?;
    let origin = Origin::of(&parsed).map_err(|_| {
        SendError::InvalidRequest(format!(
            "requests go to `http` and `https` URLs, not to `{}:`",
            parsed.scheme()
        ))
    })?;
    if !granted.contains(&origin) {
        return Err(SendError::Denied(format!(
            "requests to {origin} are not granted; list it under `[http] allow` in the plugin's manifest and have the \
             tenant grant it"
        )));
    }
    let host = parsed.host().map(|host| host.to_owned());
    let path = parsed[Position::BeforePath..Position::AfterQuery].parse();
    match (host, path) {
        (Some(host), Ok(path)) => Ok(Target { origin, host, path }),
        _ => Err(SendError::InvalidRequest(
            "the path or the query of the URL holds characters that must be percent-encoded".to_owned(),
        )),
    }
}

fn parse(url: &str) -> Result<Url, SendError> {
    let invalid = |reason: String| Err(SendError::InvalidRequest(reason));
    if url.len() > URL_BYTES {
        return invalid(format!("the URL is longer than {URL_BYTES} bytes"));
    }
    // The URL standard drops tabs and line ends and reads `\` as `/`. Both occur only in attempts
    // to make parsers disagree about a URL.
    if url.contains(|character: char| character.is_ascii_control() || character == '\\' || character == ' ') {
        return invalid("the URL holds a space, a control character or `\\`; percent-encode it".to_owned());
    }
    let parsed = match Url::parse(url) {
        Ok(parsed) => parsed,
        Err(error) => return invalid(format!("the URL cannot be read: {error}")),
    };
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return invalid("the URL holds user information; send it in a header instead".to_owned());
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn granted(origins: &[&str]) -> BTreeSet<Origin> {
        origins.iter().map(|origin| origin.parse().unwrap()).collect()
    }

    #[test]
    fn a_granted_origin_is_reached_whatever_the_path() {
        let granted = granted(&["https://api.example.com", "http://bücher.example:8080"]);
        for (url, host, path) in [
            ("https://api.example.com", "api.example.com", "/"),
            (
                "HTTPS://API.example.com:443/a/../b?q=1#fragment",
                "api.example.com",
                "/b?q=1",
            ),
            (
                "https://api.example.com/?q=http://evil.example/",
                "api.example.com",
                "/?q=http://evil.example/",
            ),
            (
                "https://api.example.com/http://evil.example/x",
                "api.example.com",
                "/http://evil.example/x",
            ),
            (
                "https://api.example.com//evil.example/",
                "api.example.com",
                "//evil.example/",
            ),
            ("https://api.example.com#@evil.example/", "api.example.com", "/"),
            (
                "https://api.example.com?@evil.example/",
                "api.example.com",
                "/?@evil.example/",
            ),
            (
                "https://api.example.com/@evil.example",
                "api.example.com",
                "/@evil.example",
            ),
            (
                "https://api.example.com/%0d%0aHost:evil",
                "api.example.com",
                "/%0d%0aHost:evil",
            ),
            ("https://api.example.com/ä", "api.example.com", "/%C3%A4"),
            ("http://BÜCHER.example:8080/", "xn--bcher-kva.example", "/"),
            ("https://%61pi.example.com/", "api.example.com", "/"),
        ] {
            let target = target(url, &granted).unwrap_or_else(|error| panic!("{url}: {error}"));
            assert_eq!(target.host.to_string(), host, "{url}");
            assert_eq!(target.path.as_str(), path, "{url}");
            assert!(granted.contains(&target.origin), "{url}");
        }
    }

    /// Row D7, and the address forms of row D1, which are normalised before the comparison.
    #[test]
    fn everything_else_is_refused() {
        let granted = granted(&[
            "https://api.example.com",
            "http://127.0.0.1",
            "https://pay.example",
        ]);
        for url in [
            "http://api.example.com/",
            "https://api.example.com:8443/",
            "https://api.example.com./",
            "https://api.example.com.evil.example/",
            "https://evil.example/api.example.com",
            "https://api.example.com@evil.example/",
            "https://user@api.example.com/",
            "https://user:password@api.example.com/",
            "https://:password@api.example.com/",
            "https://api.example.com:x@evil.example/",
            "https://api.example.com\\@evil.example/",
            "https:\\\\api.example.com/",
            "https://api.example.com%00.evil.example/",
            "https://api.example.com%2eevil.example/",
            "https://api.example.com%2fevil.example/",
            "https://api.exa\tmple.com/",
            "https://api.example.com/\r\nHost: evil.example",
            "https://api.example.com/ HTTP/1.1",
            " https://api.example.com/",
            "https://api.example.com/\u{7f}",
            "https://аpi.example.com/",
            "https://pаy.example/",
            "https://sub.api.example.com/",
            "https://example.com/",
            "https://127.0.0.1/",
            "http://127.0.0.1:81/",
            "http://127.2/",
            "http://0x7f.2/",
            "http://localhost/",
            "http://localhost./",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "ftp://api.example.com/",
            "file:///etc/passwd",
            "data:text/plain,x",
            "javascript:alert(1)",
            "ws://api.example.com/",
            "//api.example.com/",
            "/path",
            "api.example.com",
            "https://",
            "https:///",
            "",
        ] {
            let error = target(url, &granted).map(|target| target.origin.to_string());
            assert!(
                matches!(error, Err(SendError::Denied(_) | SendError::InvalidRequest(_))),
                "{url}: {error:?}"
            );
        }
        for url in [
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
        ] {
            assert_eq!(
                target(url, &granted).unwrap().host.to_string(),
                "127.0.0.1",
                "{url}"
            );
        }
    }

    #[test]
    fn a_refusal_names_the_origin_and_the_remedy() {
        let error = target("https://Evil.example:444/secret-path?token=1", &granted(&[])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "requests to https://evil.example:444 are not granted; list it under `[http] allow` in the plugin's \
             manifest and have the tenant grant it"
        );
    }

    #[test]
    fn a_url_without_end_is_refused() {
        let url = format!("https://api.example.com/{}", "a".repeat(URL_BYTES));
        let error = target(&url, &granted(&["https://api.example.com"])).unwrap_err();
        assert_eq!(error.to_string(), "the URL is longer than 8192 bytes");
    }
}
