//! Pages of a list and their cursors. A cursor is opaque: its content may change between versions.

use mortise_sdk::Error;
use serde::{Deserialize, Serialize};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// The query parameters of a list: `?limit=…&cursor=…`.
#[derive(Debug, Default, Deserialize)]
pub struct PageQuery {
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// One page of a list. `next_cursor` is absent on the last one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl PageQuery {
    /// The number of items on the page: the caller's limit within bounds.
    pub fn limit(&self) -> u32 {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MAX_LIMIT)
    }

    /// The number of rows to read: one more than the page has, to tell whether another page
    /// follows.
    pub fn rows_to_read(&self) -> u32 {
        self.limit() + 1
    }

    /// The id after which the page starts; `None` on the first page.
    pub fn after(&self) -> Result<Option<i64>, Error> {
        self.cursor.as_deref().map(decode_cursor).transpose()
    }

    /// Whether this is the first page with the default limit, which is cached.
    pub fn is_first_default(&self) -> bool {
        self.cursor.is_none() && self.limit() == DEFAULT_LIMIT
    }

    /// Builds the page from the rows.
    pub fn page<T>(&self, mut items: Vec<T>, id: impl Fn(&T) -> i64) -> Page<T> {
        let limit = self.limit() as usize;
        let more_follow = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items
            .last()
            .filter(|_| more_follow)
            .map(|last| encode_cursor(id(last)));
        Page { items, next_cursor }
    }
}

fn encode_cursor(id: i64) -> String {
    format!("c{id:x}")
}

fn decode_cursor(cursor: &str) -> Result<i64, Error> {
    let id = cursor
        .strip_prefix('c')
        .and_then(|hex| i64::from_str_radix(hex, 16).ok())
        .filter(|id| encode_cursor(*id) == cursor);
    id.ok_or_else(|| {
        Error::bad_request("`cursor` is not one that this list gave").with_code("invalid-cursor")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_the_id_it_was_made_of() {
        for id in [1, 255, i64::MAX] {
            assert_eq!(decode_cursor(&encode_cursor(id)).ok(), Some(id));
        }
    }

    #[test]
    fn a_cursor_that_was_not_given_is_refused() {
        for cursor in ["", "7", "c", "czz", "c-", "c-1", "c+5", "c05", "cF"] {
            assert_eq!(
                decode_cursor(cursor).unwrap_err().code(),
                "invalid-cursor",
                "{cursor:?}"
            );
        }
    }

    #[test]
    fn the_limit_stays_within_bounds() {
        let limit = |limit| {
            PageQuery {
                limit: Some(limit),
                cursor: None,
            }
            .limit()
        };
        assert_eq!((limit(0), limit(7), limit(1_000_000)), (1, 7, MAX_LIMIT));
    }

    #[test]
    fn only_a_page_that_another_follows_has_a_cursor() {
        let query = PageQuery {
            limit: Some(2),
            cursor: None,
        };
        assert_eq!(query.page(vec![1, 2], |id| *id).next_cursor, None);
        let page = query.page(vec![1, 2, 3], |id| *id);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(page.next_cursor, Some(encode_cursor(2)));
    }
}
