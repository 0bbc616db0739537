//! Normalises requests: the versions of HTTP express the host, cookies and transfer codings
//! differently.

use axum::http::header::{CONNECTION, COOKIE, HOST, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::domain::problem::Code;
use crate::http::head;
use crate::http::problem::Problem;

/// Rejects a request with ambiguous hosts or an unknown transfer coding. Gives the `host` field and
/// the cookies of every request their HTTP/1.1 form.
pub fn normalize<B>(request: &mut Request<B>) -> Result<(), Problem> {
    if request.version() >= Version::HTTP_2 {
        if request.headers().get_all(COOKIE).iter().nth(1).is_some() {
            // Counted before they are joined, because any number of joined cookies is one field.
            head::check(request)?;
            join_cookies(request.headers_mut());
        }
        return match Named::by(request) {
            None => one_host(request.headers(), 0),
            Some(named) => {
                one_host_as(request, &named)?;
                named.set(request.headers_mut())
            }
        };
    }
    if request.version() == Version::HTTP_11 {
        one_host(request.headers(), 1)?;
        check_transfer_encoding(request.headers())?;
    }
    // An absolute address takes precedence over the `host` field (RFC 9112, 3.2.2).
    match Named::by(request) {
        Some(named) => named.set(request.headers_mut()),
        None => Ok(()),
    }
}

/// The host in the address of a request: `:authority` in HTTP/2, or the authority of an absolute
/// address.
struct Named {
    host: String,
    default_port: &'static str,
}

impl Named {
    fn by<B>(request: &Request<B>) -> Option<Self> {
        // The address of `CONNECT` is the other end of a tunnel, not the host. The method is
        // rejected later.
        let authority = request.uri().authority()?;
        (*request.method() != Method::CONNECT).then(|| Self {
            host: without_user(authority).to_owned(),
            default_port: default_port(request.uri()),
        })
    }

    fn is(&self, field: &HeaderValue) -> bool {
        let plain = |text: &str| {
            let text = text.strip_suffix(self.default_port).unwrap_or(text);
            text.to_ascii_lowercase()
        };
        field
            .to_str()
            .is_ok_and(|field| plain(field) == plain(&self.host))
    }

    fn set(&self, headers: &mut HeaderMap) -> Result<(), Problem> {
        let host = HeaderValue::from_str(&self.host)
            .map_err(|_| Problem::new(Code::InvalidRequest, "the address names no host"))?;
        headers.insert(HOST, host);
        Ok(())
    }
}

fn without_user(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

fn default_port(uri: &Uri) -> &'static str {
    match uri.scheme_str() {
        Some("https") => ":443",
        _ => ":80",
    }
}

/// Requires at most one `host` field, since an intermediary may have read another one than this
/// host (RFC 9112, 3.2). In HTTP/1.1 there must be exactly one.
fn one_host(headers: &HeaderMap, fewest: usize) -> Result<(), Problem> {
    let count = headers.get_all(HOST).iter().count();
    if (fewest..=1).contains(&count) {
        return Ok(());
    }
    let problem = Problem::new(
        Code::InvalidRequest,
        "a request names its host in one `host` field",
    );
    Err(ends_connection(problem, fewest > 0))
}

/// Requires that `host` fields equal `:authority` (RFC 9113, 8.3.1).
fn one_host_as<B>(request: &Request<B>, named: &Named) -> Result<(), Problem> {
    match request
        .headers()
        .get_all(HOST)
        .iter()
        .all(|field| named.is(field))
    {
        true => Ok(()),
        false => {
            let detail = "the `host` field names another host than `:authority`; leave it out";
            Err(Problem::new(Code::InvalidRequest, detail))
        }
    }
}

/// Rejects other transfer codings than `chunked`, because a plugin would receive encoded bytes
/// without knowing the coding.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut fields = headers.get_all(TRANSFER_ENCODING).iter();
    let is_chunked = |field: &HeaderValue| field.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (fields.next(), fields.next()) {
        (None, _) => Ok(()),
        (Some(field), None) if is_chunked(field) => Ok(()),
        _ => {
            let detail = "this host knows no transfer coding but `chunked`; send `transfer-encoding: chunked`, or \
                          `content-length`";
            Err(ends_connection(Problem::new(Code::NotImplemented, detail), true))
        }
    }
}

/// Closes the connection after the response. The following bytes may belong to a message that an
/// intermediary read differently.
fn ends_connection(problem: Problem, is_http1: bool) -> Problem {
    match is_http1 {
        true => problem.header(CONNECTION, HeaderValue::from_static("close")),
        // HTTP/2 has no `connection` field, and each request has its own stream.
        false => problem,
    }
}

/// Joins the cookies of an HTTP/2 request, which may send each cookie in its own field (RFC 9113,
/// 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut fields = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (fields.next(), fields.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for field in std::iter::once(second).chain(fields) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(field.as_bytes());
    }
    if let Ok(mut value) = HeaderValue::from_bytes(&joined) {
        value.set_sensitive(first.is_sensitive());
        headers.insert(COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(version: Version, uri: &str, fields: &[(&str, &str)]) -> Result<HeaderMap, Code> {
        let mut request = Request::builder().version(version).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        normalize(&mut request).map_err(|problem| problem.code())?;
        Ok(request.into_parts().0.headers)
    }

    #[test]
    fn the_authority_of_http_2_is_the_host() {
        let host = |fields: &[(&str, &str)]| {
            let headers = normalized(Version::HTTP_2, "http://a.example/x", fields)?;
            let hosts: Vec<_> = headers.get_all(HOST).iter().cloned().collect();
            Ok::<_, Code>(hosts)
        };
        for same in ["a.example", "A.Example", "a.example:80"] {
            assert_eq!(host(&[("host", same)]).unwrap(), ["a.example"], "{same}");
        }
        assert_eq!(host(&[]).unwrap(), ["a.example"]);
        for other in ["b.example", "a.example:81", "a.example:443", ""] {
            assert_eq!(host(&[("host", other)]), Err(Code::InvalidRequest), "{other}");
        }
        assert_eq!(
            host(&[("host", "a.example"), ("host", "b.example")]),
            Err(Code::InvalidRequest)
        );
    }

    #[test]
    fn http_2_without_authority_names_one_host_at_most() {
        let host = |fields: &[(&str, &str)]| normalized(Version::HTTP_2, "/x", fields);
        assert!(host(&[]).unwrap().is_empty());
        assert_eq!(host(&[("host", "a")]).unwrap()[HOST], "a");
        assert_eq!(host(&[("host", "a"), ("host", "a")]), Err(Code::InvalidRequest));
    }

    #[test]
    fn an_absolute_address_counts_and_not_the_host_field() {
        let fields = [("host", "b.example")];
        for version in [Version::HTTP_11, Version::HTTP_10] {
            let headers = normalized(version, "http://user@a.example:8080/x", &fields).unwrap();
            assert_eq!(headers[HOST], "a.example:8080");
            assert_eq!(normalized(version, "/x", &fields).unwrap()[HOST], "b.example");
        }
        assert_eq!(
            normalized(Version::HTTP_11, "http://a.example/x", &[]),
            Err(Code::InvalidRequest)
        );
    }

    #[test]
    fn cookies_of_http_2_are_joined() {
        let fields = [
            ("cookie", "a=1"),
            ("x", "y"),
            ("cookie", "b=2"),
            ("cookie", "c=3"),
        ];
        let headers = normalized(Version::HTTP_2, "http://a/x", &fields).unwrap();
        let cookies: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
        let one = normalized(Version::HTTP_2, "http://a/x", &fields[..1]).unwrap();
        assert_eq!(one[COOKIE], "a=1");
    }

    #[test]
    fn cookies_are_counted_before_they_are_joined() {
        let cookies = |count| normalized(Version::HTTP_2, "http://a/x", &vec![("cookie", "a=1"); count]);
        assert_eq!(cookies(100).unwrap().get_all(COOKIE).iter().count(), 1);
        assert_eq!(cookies(101).err(), Some(Code::HeadersTooLarge));
    }

    #[test]
    fn chunked_is_the_one_transfer_coding() {
        let code = |fields: &[(&str, &str)]| {
            let fields = [&[("host", "a")][..], fields].concat();
            normalized(Version::HTTP_11, "/x", &fields).err()
        };
        assert_eq!(code(&[("transfer-encoding", " Chunked ")]), None);
        for values in [
            &["gzip, chunked"][..],
            &["gzip", "chunked"],
            &["chunked, chunked"],
            &["x"],
        ] {
            let fields: Vec<_> = values.iter().map(|value| ("transfer-encoding", *value)).collect();
            assert_eq!(code(&fields), Some(Code::NotImplemented), "{values:?}");
        }
    }
}
