//! One connection to a mail server, and the messages on it.

use std::sync::Arc;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::compose::address;
use super::super::{Answer, Failure, Server, Verdict};
use super::reply::{Reply, printable};
use super::stream::Bounded;
use crate::capability::http_client::HttpClients;
use crate::domain::mail_address::Address;
use crate::domain::smtp::SmtpSecurity;
use crate::fail_point;

/// The most messages of one connection. Servers close connections with many.
const MESSAGES: u32 = 100;

/// A connection that is logged in.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    messages: u32,
    is_broken: bool,
}

impl Session {
    /// Begins to speak with a server: TLS, greeting and login.
    pub async fn begin(
        stream: TcpStream,
        server: &Server,
        hello: &str,
        clients: &HttpClients,
    ) -> Result<Self, Failure> {
        let peer = stream.peer_addr().map_err(|error| {
            Failure::connection(format!("the connection to the mail server failed: {error}"))
        })?;
        let stream: Box<dyn AsyncTokioStream> = match server.security {
            SmtpSecurity::Tls => {
                let stream = Bounded::new(stream, peer);
                let name = ServerName::try_from(bare(&server.host).to_owned()).map_err(|_| {
                    Failure::lasting("the name of the mail server is none that TLS can prove")
                })?;
                let connector = TlsConnector::from(Arc::new(clients.tls()));
                let stream = connector.connect(name, stream).await.map_err(|error| {
                    Failure::lasting(format!(
                        "no TLS connection to the mail server: {}",
                        printable(&error.to_string())
                    ))
                })?;
                Box::new(Bounded::new(stream, peer))
            }
            SmtpSecurity::Starttls | SmtpSecurity::None => Box::new(Bounded::new(stream, peer)),
        };
        let hello = match hello.is_empty() {
            true => ClientId::default(),
            false => ClientId::Domain(hello.to_owned()),
        };
        let connected = AsyncSmtpConnection::connect_with_transport(stream, &hello).await;
        let mut connection = connected.map_err(|error| refused(&error, "the connection"))?;
        if server.security == SmtpSecurity::Starttls {
            if !connection.can_starttls() {
                return Err(Failure::lasting(
                    "the mail server does not offer STARTTLS, which its settings require",
                ));
            }
            let started = connection.starttls(tls(server, clients)?, &hello).await;
            started.map_err(|error| match error.status() {
                Some(_) => refused(&error, "TLS"),
                None => Failure::lasting(format!(
                    "no TLS connection to the mail server: {}",
                    printable(&error.to_string())
                )),
            })?;
        }
        if let Some(login) = &server.login {
            let credentials =
                Credentials::new(login.username.clone(), login.password.expose_secret().to_owned());
            let authenticated = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            authenticated.map_err(|error| refused(&error, "the login"))?;
        }
        Ok(Self {
            connection,
            messages: 0,
            is_broken: false,
        })
    }

    /// Whether the connection can take another message.
    pub fn is_usable(&self) -> bool {
        !self.is_broken && !self.connection.has_broken() && self.messages < MESSAGES
    }

    /// Hands a message over, and returns what the server said about each receiver.
    pub async fn transact(
        &mut self,
        from: &Address,
        receivers: &[Address],
        source: &[u8],
    ) -> Result<Vec<Verdict>, Failure> {
        self.messages += 1;
        let sender = address(from).map_err(Failure::lasting)?;
        if let Err(error) = self.connection.command(Mail::new(Some(sender), Vec::new())).await {
            let reply = self.reply(&error, true)?;
            return Ok(all(receivers, &reply.answer_to_sender()));
        }
        let (mut verdicts, mut named) = (Vec::with_capacity(receivers.len()), Vec::new());
        for receiver in receivers {
            let to = address(receiver).map_err(Failure::lasting)?;
            match self.connection.command(Rcpt::new(to, Vec::new())).await {
                Ok(_) => named.push(receiver.clone()),
                Err(error) => verdicts.push(Verdict {
                    address: receiver.clone(),
                    answer: self.reply(&error, true)?.answer(),
                }),
            }
        }
        if named.is_empty() {
            // Without this, the next message would begin in the middle of this one.
            self.is_broken |= self.connection.command(Rset).await.is_err();
            return Ok(verdicts);
        }
        let answer = match self.hand_over(source).await? {
            Ok(said) => Answer::Taken(said),
            Err(reply) => reply.answer(),
        };
        verdicts.extend(all(&named, &answer));
        Ok(verdicts)
    }

    /// Sends the message itself. Once it is on its way, a failure leaves open whether it arrived.
    async fn hand_over(&mut self, source: &[u8]) -> Result<Result<String, Reply>, Failure> {
        if let Err(error) = self.connection.command(Data).await {
            return self.reply(&error, true).map(Err);
        }
        match self.connection.message(source).await {
            Ok(response) => {
                fail_point::reach("after-effect");
                let said: Vec<&str> = response.message().collect();
                Ok(Ok(printable(&format!("{} {}", response.code(), said.join(" ")))))
            }
            Err(error) => self.reply(&error, false).map(Err),
        }
    }

    fn reply(&mut self, error: &Error, is_repeatable: bool) -> Result<Reply, Failure> {
        let reply = Reply::of(error, is_repeatable);
        self.is_broken |= reply.as_ref().map_or(true, Reply::is_closing);
        reply
    }
}

/// The same answer for each receiver.
fn all(receivers: &[Address], answer: &Answer) -> Vec<Verdict> {
    let verdict = |address: &Address| Verdict {
        address: address.clone(),
        answer: answer.clone(),
    };
    receivers.iter().map(verdict).collect()
}

/// Why a connection could not be made. A server that answered is not asked again at once.
fn refused(error: &Error, doing: &str) -> Failure {
    match Reply::of(error, true) {
        Ok(reply) => reply.failure(doing),
        Err(failure) if error.is_client() => Failure::lasting(failure.why),
        Err(failure) => failure,
    }
}

/// The TLS settings for STARTTLS: the same certificate authorities as for outbound HTTP.
fn tls(server: &Server, clients: &HttpClients) -> Result<TlsParameters, Failure> {
    let wrong = |error: Error| {
        Failure::lasting(format!(
            "TLS cannot be prepared for the mail server: {}",
            printable(&error.to_string())
        ))
    };
    let mut builder = TlsParameters::builder(bare(&server.host).to_owned())
        .certificate_store(CertificateStore::WebpkiRoots);
    for authority in clients.certificate_authorities() {
        let certificate = Certificate::from_der(authority.certificate.as_ref().to_vec()).map_err(wrong)?;
        builder = builder.add_root_certificate(certificate);
    }
    builder.build_rustls().map_err(wrong)
}

/// An address of IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}
