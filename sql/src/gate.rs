//! Answers SQLite's questions about what a statement may do.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use rusqlite::hooks::{AuthContext, Authorization};

use crate::authorizer::{Author, Verdict, decide};

/// Knows whose SQL a connection compiles, and why the last statement was refused.
#[derive(Debug)]
pub struct Gate {
    author: AtomicU8,
    denial: Mutex<Option<String>>,
}

impl Gate {
    /// A gate for the SQL of `author`.
    pub fn new(author: Author) -> Self {
        Self {
            author: AtomicU8::new(author as u8),
            denial: Mutex::new(None),
        }
    }

    /// Whose SQL is compiled.
    pub fn author(&self) -> Author {
        Author::of(self.author.load(Ordering::Relaxed))
    }

    /// Whose SQL is compiled from now on. Gives back whose it was.
    pub fn set_author(&self, author: Author) -> Author {
        Author::of(self.author.swap(author as u8, Ordering::Relaxed))
    }

    /// Why the last statement was refused, if it was.
    pub fn take_denial(&self) -> Option<String> {
        self.denial.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Answers SQLite's question about one action of a statement that it compiles.
    pub fn authorize(&self, context: &AuthContext<'_>) -> Authorization {
        match decide(self.author(), &context.action) {
            Verdict::Allow => Authorization::Allow,
            Verdict::Skip => Authorization::Ignore,
            Verdict::Deny(reason) => {
                // The first reason is the one that names what the author wrote.
                self.denial
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(reason);
                Authorization::Deny
            }
        }
    }
}
