//! The LRU list of a connection's cached statements, bounded by their bytes.

use std::collections::HashMap;

/// The most statements that a connection caches, however small they are.
pub(super) const MOST_KEPT: usize = 512;

/// The cached statements of one connection with their sizes. rusqlite's cache holds the statements
/// themselves, under the same texts.
#[derive(Debug, Default)]
pub(super) struct Kept {
    statements: HashMap<String, Statement>,
    /// The total size in bytes.
    bytes: u64,
    /// Counts the uses of statements.
    uses: u64,
}

#[derive(Clone, Copy, Debug)]
struct Statement {
    bytes: u64,
    /// The number of its last use.
    used: u64,
}

impl Kept {
    /// Returns the size of a cached statement and marks it as used.
    pub(super) fn touch(&mut self, sql: &str) -> Option<u64> {
        self.uses += 1;
        let statement = self.statements.get_mut(sql.trim())?;
        statement.used = self.uses;
        Some(statement.bytes)
    }

    /// Adds a statement of `bytes` to a cache of `room` bytes. Returns the texts to evict for it,
    /// or `None` if the statement takes more than a quarter of `room`.
    pub(super) fn insert(&mut self, sql: &str, bytes: u64, room: u64) -> Option<Vec<String>> {
        if bytes > room / 4 {
            return None;
        }
        let mut leaving = Vec::new();
        while self.bytes + bytes > room || self.statements.len() >= MOST_KEPT {
            let oldest = self.statements.iter().min_by_key(|(_, statement)| statement.used);
            let Some((text, statement)) = oldest.map(|(text, statement)| (text.clone(), *statement)) else {
                break;
            };
            self.statements.remove(&text);
            self.bytes -= statement.bytes;
            leaving.push(text);
        }
        self.uses += 1;
        let statement = Statement {
            bytes,
            used: self.uses,
        };
        self.statements.insert(sql.trim().to_owned(), statement);
        self.bytes += bytes;
        Some(leaving)
    }

    /// Removes all statements.
    pub(super) fn clear(&mut self) {
        self.statements.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_used_longest_ago_leave_for_a_new_one() {
        let mut kept = Kept::default();
        for text in ["a", "b", "c", "d"] {
            assert_eq!(kept.insert(text, 25, 100), Some(vec![]));
        }
        assert_eq!(kept.touch(" a "), Some(25));
        assert_eq!(kept.insert("e", 25, 100), Some(vec!["b".to_owned()]));
        assert_eq!(
            kept.insert("f", 10, 59),
            Some(["c", "d", "a"].map(str::to_owned).to_vec())
        );
        assert_eq!(kept.bytes, 35);
        assert_eq!(kept.touch("b"), None);
    }

    #[test]
    fn a_large_one_is_not_kept() {
        let mut kept = Kept::default();
        assert_eq!(kept.insert("a", 26, 100), None);
        assert_eq!(kept.touch("a"), None);
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn there_are_not_too_many() {
        let mut kept = Kept::default();
        for number in 0..MOST_KEPT + 10 {
            kept.insert(&number.to_string(), 1, u64::MAX);
        }
        assert_eq!(kept.statements.len(), MOST_KEPT);
        kept.clear();
        assert_eq!(kept.insert("a", 1, 4), Some(vec![]));
    }
}
