//! The authorizer callback of a connection, which knows the author of the SQL and keeps the reason
//! of a rejection.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::hooks::{AuthContext, Authorization};

use crate::authorizer::{Author, Verdict, decide};

/// The author of the SQL that a connection compiles, and the reason of the last rejection.
#[derive(Debug)]
pub struct Authorizer {
    author: AtomicU8,
    denial: Mutex<Option<String>>,
}

impl Authorizer {
    /// Creates the authorizer for the SQL of `author`.
    pub fn new(author: Author) -> Self {
        Self {
            author: AtomicU8::new(author as u8),
            denial: Mutex::new(None),
        }
    }

    /// The current author.
    pub fn author(&self) -> Author {
        Author::of(self.author.load(Ordering::Relaxed))
    }

    /// Sets the author. Returns the previous one.
    pub fn set_author(&self, author: Author) -> Author {
        Author::of(self.author.swap(author as u8, Ordering::Relaxed))
    }

    /// Takes the reason why the last statement was rejected, if it was.
    pub fn take_denial(&self) -> Option<String> {
        self.denial.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Decides about one action of a statement that SQLite compiles.
    pub fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        match decide(self.author(), &context.action) {
            Verdict::Allow => Authorization::Allow,
            Verdict::Skip => Authorization::Ignore,
            Verdict::Deny(reason) => {
                // The first reason is kept, because it names what the author wrote.
                self.denial
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(reason);
                Authorization::Deny
            }
        }
    }
}
