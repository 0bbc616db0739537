//! The last host calls of an invocation, which are logged when a limit ends it.

use std::collections::VecDeque;
use std::fmt;

/// The number of calls kept. Consecutive equal calls count as one.
const KEPT: usize = 5;

/// The last host calls of an invocation. Arguments are not kept, because they may be secrets.
#[derive(Debug, Default)]
pub struct LastCalls(VecDeque<Call>);

#[derive(Debug)]
struct Call {
    function: &'static str,
    /// The origin of an outbound request.
    to: Option<String>,
    count: u32,
}

impl LastCalls {
    /// Records a call of a function, named with its capability: `db.query`.
    pub fn note(&mut self, function: &'static str) {
        self.push(function, None);
    }

    /// Records a call with its destination.
    pub fn note_to(&mut self, function: &'static str, to: impl fmt::Display) {
        self.push(function, Some(to.to_string()));
    }

    fn push(&mut self, function: &'static str, to: Option<String>) {
        if let Some(last) = self.0.back_mut()
            && last.function == function
            && last.to == to
        {
            last.count = last.count.saturating_add(1);
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(Call {
            function,
            to,
            count: 1,
        });
    }
}

/// Formats the calls as the end of a sentence: `its last host calls: db.query (3 times), http.send
/// https://a.example`.
impl fmt::Display for LastCalls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("it made no host calls");
        }
        formatter.write_str("its last host calls: ")?;
        for (index, Call { function, to, count }) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{function}")?;
            if let Some(to) = to {
                write!(formatter, " {to}")?;
            }
            if *count > 1 {
                write!(formatter, " ({count} times)")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_calls_are_told_in_their_order() {
        let mut calls = LastCalls::default();
        assert_eq!(calls.to_string(), "it made no host calls");
        for function in ["cache.get", "db.begin", "db.query", "db.query", "db.commit"] {
            calls.note(function);
        }
        calls.note_to("http.send", "https://a.example");
        calls.note_to("http.send", "https://b.example");
        assert_eq!(
            calls.to_string(),
            "its last host calls: db.begin, db.query (2 times), db.commit, http.send https://a.example, http.send \
             https://b.example"
        );
    }
}
