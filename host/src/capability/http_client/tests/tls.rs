//! Tests of TLS: the certificate must match the name, and the connection goes to the checked
//! address.

use std::io;
use std::net::IpAddr;

use async_trait::async_trait;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::super::super::bindings::types::Content;
use super::super::{CertificateAuthority, Resolver};
use super::server::{Server, read_request, response};
use super::*;

/// A resolver that resolves every name to loopback.
struct Here;

#[async_trait]
impl Resolver for Here {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![[127, 0, 0, 1].into()])
    }
}

fn certificate() -> CertifiedKey<rcgen::KeyPair> {
    generate_simple_self_signed(["api.example".to_owned()]).unwrap()
}

/// A TLS server with the given certificate, for `api.example`.
async fn server(certificate: &CertifiedKey<rcgen::KeyPair>) -> Server {
    let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
    let settings = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    Server::talking(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            while let Some(request) = read_request(&mut stream).await {
                let host = request
                    .lines()
                    .find(|line| line.starts_with("host: "))
                    .unwrap_or_default();
                let name = stream.get_ref().1.server_name().unwrap_or_default();
                let answer = response(200, "content-type: text/plain\r\n", &format!("{name} {host}"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    })
    .await
}

fn guest(extra_ca: &[&CertifiedKey<rcgen::KeyPair>], origin: &str) -> Guest {
    let config = HttpClientConfig {
        allow_loopback: true,
        extra_ca: extra_ca
            .iter()
            .map(|certificate| CertificateAuthority {
                file: "test.pem".into(),
                certificate: certificate.cert.der().clone(),
            })
            .collect(),
        ..HttpClientConfig::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let clients = HttpClients::with_resolver(config, clock, Handle::current(), Arc::new(Here));
    let clients = Arc::new(clients.unwrap());
    Guest::new(&clients, Limits::default(), &[origin])
}

#[tokio::test]
async fn the_name_of_the_url_is_proven_and_sent() {
    let certificate = certificate();
    let server = server(&certificate).await;
    let origin = format!("https://api.example:{}", server.port);
    let mut guest = guest(&[&certificate], &origin);
    for _ in 0..2 {
        let response = guest.get(&origin).await.unwrap();
        let expected = format!("api.example host: api.example:{}", server.port);
        assert!(
            matches!(&response.body, Content::Text(text) if *text == expected),
            "{response:?}"
        );
    }
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn who_cannot_prove_the_name_gets_no_request() {
    let (known, unknown) = (certificate(), certificate());
    let known_server = server(&known).await;
    let unknown_server = server(&unknown).await;
    let plain_server = Server::talking(|mut stream| async move {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(
            read_request(&mut stream).await,
            None,
            "the request came in plain text"
        );
    })
    .await;
    for (host, port, reason) in [
        ("api.example", unknown_server.port, "invalid peer certificate"),
        (
            "other.example",
            known_server.port,
            "certificate not valid for name",
        ),
        ("127.0.0.1", known_server.port, "certificate not valid for name"),
        ("api.example", plain_server.port, ""),
    ] {
        let origin = format!("https://{host}:{port}");
        let mut guest = guest(&[&known], &origin).with_secret("token", "s3cret");
        let mut request = request("GET", &origin);
        request.secret_headers = vec![("authorization".to_owned(), String::new(), "token".to_owned())];
        let error = guest.send(request).await.unwrap_err();
        assert!(
            matches!(
                &error,
                Error::Tls(text)
                    if text.contains(reason) && text.contains(&origin) && !text.contains("s3cret")
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_secret_without_tls_goes_to_loopback_alone() {
    struct Elsewhere;

    #[async_trait]
    impl Resolver for Elsewhere {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(vec![[8, 8, 8, 8].into()])
        }
    }

    let config = HttpClientConfig {
        allow_loopback: true,
        ..HttpClientConfig::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let clients = HttpClients::with_resolver(config, clock, Handle::current(), Arc::new(Elsewhere));
    let clients = Arc::new(clients.unwrap());
    let mut guest =
        Guest::new(&clients, Limits::default(), &["http://api.example"]).with_secret("token", "s3cret");
    let mut request = request("GET", "http://api.example");
    request.secret_headers = vec![("authorization".to_owned(), String::new(), "token".to_owned())];
    let error = guest.send(request).await.unwrap_err();
    assert!(
        matches!(&error, Error::Denied(reason) if reason.contains("`https` only")),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_authority_that_is_none_is_named_by_its_file() {
    let config = HttpClientConfig {
        extra_ca: vec![CertificateAuthority {
            file: "/etc/mortise/ca.pem".into(),
            certificate: vec![1, 2, 3].into(),
        }],
        ..HttpClientConfig::default()
    };
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let error = HttpClients::new(config, clock, Handle::current()).err().unwrap();
    let text = error.to_string();
    assert!(
        text.starts_with("the certificate authority /etc/mortise/ca.pem cannot be used: "),
        "{text}"
    );
}
