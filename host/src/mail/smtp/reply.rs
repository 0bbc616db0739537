//! What a server answers, and what that means for a receiver.

use std::error::Error as _;

use lettre::transport::smtp::Error;

use super::super::{Answer, Failure};

/// The most characters of an answer that are stored.
const SHOWN: usize = 300;

/// The server closes the connection.
const CLOSING: u16 = 421;

/// A negative answer. A server controls all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    code: u16,
    text: String,
}

impl Reply {
    /// The answer in an error of the library; a failure of the connection if there is none.
    /// `is_repeatable`: nothing is on its way yet.
    pub fn of(error: &Error, is_repeatable: bool) -> Result<Self, Failure> {
        let said = error.source().map(ToString::to_string).unwrap_or_default();
        match error.status() {
            Some(code) => Ok(Self::new(code.into(), &said)),
            None => Err(Failure {
                why: match said.is_empty() {
                    true => "the connection to the mail server failed".to_owned(),
                    false => format!("the connection to the mail server failed: {}", printable(&said)),
                },
                is_repeatable,
            }),
        }
    }

    fn new(code: u16, text: &str) -> Self {
        Self {
            code,
            text: printable(text),
        }
    }

    /// Whether the server closes the connection.
    pub fn is_closing(&self) -> bool {
        self.code == CLOSING
    }

    /// What the answer to `RCPT`, or to all of a message, means for a receiver.
    pub fn answer(&self) -> Answer {
        let reply = self.to_string();
        match self.is_lasting() {
            true => Answer::Refused {
                is_unknown: self.is_unknown(),
                reply,
            },
            false => Answer::Deferred(reply),
        }
    }

    /// What the answer to `MAIL` means for a receiver, about whom it says nothing.
    pub fn answer_to_sender(&self) -> Answer {
        match self.answer() {
            Answer::Refused { reply, .. } => Answer::Refused {
                reply,
                is_unknown: false,
            },
            other => other,
        }
    }

    /// Why the server cannot be used at all.
    pub fn failure(&self, doing: &str) -> Failure {
        Failure::lasting(format!("the mail server refused {doing}: {self}"))
    }

    /// A full mailbox is emptied some time, whatever the code says.
    fn is_lasting(&self) -> bool {
        let is_full = self.code == 552 || self.enhanced().is_some_and(|status| status.ends_with(".2.2"));
        self.code >= 500 && !is_full
    }

    /// Whether there is no such address or domain (RFC 3463).
    fn is_unknown(&self) -> bool {
        let is_of_address = |status: &str| ["5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10"].contains(&status);
        self.code == 551 || self.enhanced().is_some_and(is_of_address)
    }

    /// The status code of RFC 3463 at the begin of the text.
    fn enhanced(&self) -> Option<&str> {
        let word = self.text.split_whitespace().next()?;
        let mut parts = word.split('.');
        let is_class = matches!(parts.next(), Some("4" | "5"));
        let mut rest = parts.clone();
        let are_numbers =
            parts.all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        (is_class && are_numbers && rest.nth(1).is_some()).then_some(word)
    }
}

impl std::fmt::Display for Reply {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.code, self.text)
    }
}

/// A text of a server without control characters, cut.
pub(super) fn printable(text: &str) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(SHOWN).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, text: &str) -> Answer {
        Reply::new(code, text).answer()
    }

    #[test]
    fn codes_say_whether_to_try_again() {
        for (code, text) in [
            (450, "4.2.1 try later"),
            (421, "busy"),
            (452, "4.2.2 mailbox full"),
            (552, "5.2.2 mailbox full"),
            (550, "5.2.2 over quota"),
            (552, "too much"),
        ] {
            let deferred = Answer::Deferred(format!("{code} {text}"));
            assert_eq!(answer(code, text), deferred);
        }
        for (code, text, is_unknown) in [
            (550, "5.1.1 no such user", true),
            (550, "5.1.10 null MX", true),
            (550, "no such user", false),
            (551, "not here", true),
            (550, "5.7.1 relaying denied", false),
            (554, "5.1 x", false),
            (554, "", false),
        ] {
            let wanted = Answer::Refused {
                reply: format!("{code} {text}"),
                is_unknown,
            };
            assert_eq!(answer(code, text), wanted);
        }
        let of_sender = Reply::new(550, "5.1.1 you").answer_to_sender();
        assert!(matches!(
            of_sender,
            Answer::Refused {
                is_unknown: false,
                ..
            }
        ));
    }

    #[test]
    fn a_server_writes_no_control_characters_and_little_text() {
        let reply = Reply::new(550, &format!("a\r\nb\u{1b}[31m{}", "x".repeat(1_000)));
        assert_eq!(reply.text.chars().count(), SHOWN);
        assert!(!reply.text.chars().any(char::is_control));
    }
}
