//! An SMTP server that keeps what it receives, and fails as a test tells it to.
//!
//! It uses threads and the standard library alone, because the tests and the lab share it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Result, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a slow server takes for a mail.
const SLOW: Duration = Duration::from_millis(50);

/// The port of the servers.
const PORT: u16 = 2525;

/// A client that says nothing for this long is gone.
const IDLE: Duration = Duration::from_secs(120);

/// A server. It ends when this is dropped.
pub struct Smtp {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    is_closed: Arc<AtomicBool>,
}

/// How the server treats new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It serves them.
    Serve,
    /// It greets with 421 and closes.
    Busy,
    /// It closes them at once.
    Drop,
    /// It reads whole mails, and closes without a reply to them.
    Unacknowledged,
    /// It serves them, and takes some time for each mail.
    Slow,
}

/// The command that a planned reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// `RCPT TO`.
    Recipient,
    /// The end of the data.
    Data,
}

/// A mail that came as a whole.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Header and body, with CRLF and without stuffed dots.
    pub data: String,
    /// Whether the server sent its reply.
    pub acknowledged: bool,
}

struct State {
    mode: Mode,
    mails: Vec<Mail>,
    connections: usize,
    /// Replies to the next mails for a recipient, with how often they are sent.
    planned: BTreeMap<(String, At), (&'static str, usize)>,
}

impl Smtp {
    /// Starts a server on port 2525 of a free address of the loopback network, because a host sends
    /// to few ports only.
    pub fn start() -> Result<Self> {
        const ATTEMPTS: u32 = 1_000;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let [_, a, b, c] = std::process::id()
                .wrapping_mul(251)
                .wrapping_add(number)
                .to_be_bytes();
            // Neither 127.0.0.1, which other programs use, nor an address that ends with 0 or 255.
            let address = Ipv4Addr::new(127, a | 1, b, c.clamp(1, 254));
            match Self::start_at((address, PORT).into()) {
                Ok(server) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()))
    }

    /// Starts a server at an address.
    pub fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            mode: Mode::Serve,
            mails: Vec::new(),
            connections: 0,
            planned: BTreeMap::new(),
        }));
        let is_closed = Arc::new(AtomicBool::new(false));
        let (shared, closed) = (state.clone(), is_closed.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let mut state = lock(&shared);
                state.connections += 1;
                let mode = state.mode;
                drop(state);
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A client that is gone needs no answer.
                    let _ = serve(stream, mode, &shared);
                });
            }
        });
        Ok(Self {
            address,
            state,
            is_closed,
        })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets how it treats new connections.
    pub fn set(&self, mode: Mode) {
        lock(&self.state).mode = mode;
    }

    /// Plans the replies to the next `times` mails for a recipient.
    pub fn answer(&self, recipient: &str, at: At, reply: &'static str, times: usize) {
        let key = (recipient.to_owned(), at);
        lock(&self.state).planned.insert(key, (reply, times));
    }

    /// The mails so far, also those that were not acknowledged.
    pub fn messages(&self) -> Vec<Mail> {
        lock(&self.state).mails.clone()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        lock(&self.state).connections
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // The listener is closed by the thread that accepts, which waits for a connection.
        let _ = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

impl Mail {
    /// The value of a header field, in one line.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.data.split("\r\n\r\n").next()?;
        let mut found: Option<String> = None;
        for line in head.split("\r\n") {
            if let Some(value) = &mut found {
                if !line.starts_with([' ', '\t']) {
                    break;
                }
                value.push_str(line);
            } else if let Some((field, value)) = line.split_once(':')
                && field.eq_ignore_ascii_case(name)
            {
                found = Some(value.trim().to_owned());
            }
        }
        found
    }

    /// Whether the data contains a text as it is.
    pub fn has(&self, text: &str) -> bool {
        self.data.contains(text)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection with the transaction that it is in.
struct Session<'a> {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    state: &'a Mutex<State>,
    mode: Mode,
    from: String,
    to: Vec<String>,
}

fn serve(stream: TcpStream, mode: Mode, state: &Mutex<State>) -> Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut session = Session {
        reader: BufReader::new(stream.try_clone()?),
        writer: stream,
        state,
        mode,
        from: String::new(),
        to: Vec::new(),
    };
    match mode {
        Mode::Drop => return Ok(()),
        Mode::Busy => return session.reply("421 4.3.2 try again later"),
        Mode::Serve | Mode::Slow | Mode::Unacknowledged => session.reply("220 sink ESMTP")?,
    }
    while session.command()? {}
    Ok(())
}

impl Session<'_> {
    /// Reads a line; `None` at the end.
    fn line(&mut self) -> Result<Option<String>> {
        let mut bytes = Vec::new();
        if self.reader.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&bytes);
        Ok(Some(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn reply(&mut self, text: &str) -> Result<()> {
        self.writer.write_all(format!("{text}\r\n").as_bytes())
    }

    /// Answers a command. Returns whether there may be another one.
    fn command(&mut self) -> Result<bool> {
        let Some(line) = self.line()? else {
            return Ok(false);
        };
        let verb = line.split([' ', ':']).next().unwrap_or_default();
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.reply(
                "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-SIZE 10485760\r\n\
                 250 ENHANCEDSTATUSCODES",
            )?,
            "HELO" | "NOOP" => self.reply("250 OK")?,
            "MAIL" => {
                self.from = address(&line);
                self.to.clear();
                self.reply("250 2.1.0 OK")?;
            }
            "RCPT" => {
                let recipient = address(&line);
                match self.planned(&recipient, At::Recipient) {
                    Some(reply) => self.reply(reply)?,
                    None => {
                        self.to.push(recipient);
                        self.reply("250 2.1.5 OK")?;
                    }
                }
            }
            "DATA" if self.to.is_empty() => self.reply("554 5.5.1 no valid recipients")?,
            "DATA" => return self.data(),
            "RSET" => {
                self.to.clear();
                self.reply("250 2.0.0 OK")?;
            }
            "QUIT" => {
                self.reply("221 2.0.0 bye")?;
                return Ok(false);
            }
            _ => self.reply("502 5.5.2 not known")?,
        }
        Ok(true)
    }

    /// Reads a mail. Returns whether there may be another command.
    fn data(&mut self) -> Result<bool> {
        self.reply("354 go on")?;
        let mut data = String::new();
        loop {
            let Some(line) = self.line()? else {
                return Ok(false);
            };
            if line == "." {
                break;
            }
            data.push_str(line.strip_prefix('.').unwrap_or(&line));
            data.push_str("\r\n");
        }
        let planned = self.to.clone();
        let planned = planned.iter().find_map(|to| self.planned(to, At::Data));
        if let Some(reply) = planned {
            self.to.clear();
            self.reply(reply)?;
            return Ok(true);
        }
        let index = {
            let mut state = lock(self.state);
            state.mails.push(Mail {
                from: std::mem::take(&mut self.from),
                to: std::mem::take(&mut self.to),
                data,
                acknowledged: false,
            });
            state.mails.len() - 1
        };
        match self.mode {
            Mode::Unacknowledged => return Ok(false),
            Mode::Slow => std::thread::sleep(SLOW),
            _ => {}
        }
        // A client that was killed meanwhile may still leave the socket open, so the reply is only
        // known to be sent, not to be read.
        self.reply("250 2.0.0 OK")?;
        if let Some(mail) = lock(self.state).mails.get_mut(index) {
            mail.acknowledged = true;
        }
        Ok(true)
    }

    /// The planned reply for a recipient, if there is one left.
    fn planned(&self, recipient: &str, at: At) -> Option<&'static str> {
        let mut state = lock(self.state);
        let (reply, times) = state.planned.get_mut(&(recipient.to_owned(), at))?;
        *times = times.checked_sub(1)?;
        Some(*reply)
    }
}

/// The address of `MAIL FROM:<…>` or `RCPT TO:<…>`.
fn address(line: &str) -> String {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or("", |(address, _)| address).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(server: &Smtp, lines: &str) -> String {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(lines.replace('\n', "\r\n").as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    }

    const MAIL: &str = "EHLO me\nMAIL FROM:<a@x>\nRCPT TO:<b@y>\nRCPT TO:<c@y>\nDATA\n\
                        Subject: folded\n subject\n\n..dot\n.\nQUIT\n";

    #[test]
    fn a_mail_is_kept() {
        let server = Smtp::start().unwrap();
        server.answer("b@y", At::Recipient, "452 4.2.2 mailbox full", 1);
        assert!(talk(&server, MAIL).contains("452 4.2.2 mailbox full\r\n250 2.1.5"));
        let mails = server.messages();
        assert_eq!((mails.len(), &mails[0].to), (1, &vec!["c@y".to_owned()]));
        assert_eq!(mails[0].header("subject").as_deref(), Some("folded subject"));
        assert!(mails[0].data.ends_with("\r\n\r\n.dot\r\n") && mails[0].acknowledged);
    }

    #[test]
    fn the_server_fails_as_it_is_told() {
        let server = Smtp::start().unwrap();
        server.set(Mode::Busy);
        assert!(talk(&server, "").starts_with("421"));
        server.set(Mode::Unacknowledged);
        assert!(talk(&server, &MAIL.replace("QUIT\n", "")).ends_with("354 go on\r\n"));
        assert!(!server.messages()[0].acknowledged);
        server.set(Mode::Serve);
        server.answer("c@y", At::Data, "451 4.3.0 no", 1);
        assert!(talk(&server, MAIL).contains("451 4.3.0 no"));
        assert_eq!((server.messages().len(), server.connections()), (1, 3));
    }
}
