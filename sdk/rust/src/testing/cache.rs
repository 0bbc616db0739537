//! The cache of the test host: a map whose entries expire by the test host's clock.

use std::collections::BTreeMap;

use crate::Content;
use crate::cache::Error;

pub(super) struct Cache {
    max_entry_bytes: usize,
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    value: Content,
    expires_ms: Option<i64>,
}

impl Cache {
    /// Creates an empty cache. The limit of an entry includes its key.
    pub fn new(max_entry_bytes: usize) -> Self {
        Self {
            max_entry_bytes,
            entries: BTreeMap::new(),
        }
    }

    pub fn get(&self, key: &str, now_ms: i64) -> Option<&Content> {
        let entry = self.entries.get(key)?;
        entry
            .expires_ms
            .is_none_or(|at| now_ms < at)
            .then_some(&entry.value)
    }

    pub fn set(&mut self, key: &str, value: Content, ttl_ms: Option<u64>, now_ms: i64) -> Result<(), Error> {
        if key.len() + value.as_bytes().len() > self.max_entry_bytes {
            return Err(Error::TooLarge);
        }
        self.entries.insert(
            key.to_owned(),
            Entry {
                value,
                expires_ms: expiry(ttl_ms, now_ms),
            },
        );
        Ok(())
    }

    pub fn increment(
        &mut self,
        key: &str,
        delta: i64,
        ttl_ms: Option<u64>,
        now_ms: i64,
    ) -> Result<i64, Error> {
        let not_a_number =
            || Error::Unavailable("the entry is not a number that can be incremented".to_owned());
        let Some(current) = self.get(key, now_ms) else {
            self.set(key, Content::Text(delta.to_string()), ttl_ms, now_ms)?;
            return Ok(delta);
        };
        let number: i64 = current
            .as_text()
            .and_then(|text| text.parse().ok())
            .ok_or_else(not_a_number)?;
        let sum = number.checked_add(delta).ok_or_else(not_a_number)?;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.value = Content::Text(sum.to_string());
        }
        Ok(sum)
    }

    pub fn delete(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

fn expiry(ttl_ms: Option<u64>, now_ms: i64) -> Option<i64> {
    ttl_ms.map(|ttl| now_ms.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)))
}
