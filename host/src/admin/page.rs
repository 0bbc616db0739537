//! Pagination: `?limit=` and an opaque `?cursor=`. The response has `items` and the cursor of the
//! `next` page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::IntoParams;

use super::error::invalid;
use crate::http::problem::Problem;
use crate::storage::Page;
use crate::wire::page::Items;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;

/// The page of a list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// `next` of the previous page; absent for the first page.
    pub cursor: Option<String>,
    /// Items per page: 1 to 200; 50 by default.
    #[serde(default, deserialize_with = "limit")]
    pub limit: Option<u32>,
}

/// Parses the number of items.
pub fn limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |_| {
        let text: String = text.chars().take(100).collect();
        serde::de::Error::custom(format!(
            "`{text}` is not a number; 1 to {MAX_LIMIT} items make a page"
        ))
    };
    text.parse().map(Some).map_err(wrong)
}

impl Paging {
    /// The page for the database. It has one item more than requested, which shows whether there is
    /// a next page.
    pub fn page<Position: DeserializeOwned>(&self) -> Result<Page<Position>, Problem> {
        let limit = self.limit()?;
        let after = self.cursor.as_deref().map(|cursor| {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
            bytes
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .ok_or_else(|| {
                    invalid("cursor: this is not a cursor of this list; pass `next` of the previous page")
                })
        });
        Ok(Page {
            after: after.transpose()?,
            limit: limit + 1,
        })
    }

    /// The number of items per page.
    pub fn limit(&self) -> Result<u32, Problem> {
        match self.limit.unwrap_or(DEFAULT_LIMIT) {
            limit @ 1..=MAX_LIMIT => Ok(limit),
            _ => Err(invalid(format!("limit: 1 to {MAX_LIMIT} items make a page"))),
        }
    }
}

impl<T> Items<T> {
    /// The page of rows that were read with [`Paging::page`].
    pub fn new<Row, Position: Serialize>(
        mut found: Vec<Row>,
        page: &Page<Position>,
        position: impl Fn(&Row) -> Position,
        view: impl FnMut(Row) -> T,
    ) -> Self {
        let wanted = usize::try_from(page.limit)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let more = found.len() > wanted;
        found.truncate(wanted);
        let next = found.last().filter(|_| more).map(|last| cursor(&position(last)));
        Self {
            items: found.into_iter().map(view).collect(),
            next,
        }
    }

    /// A list with a single page.
    pub fn all(items: Vec<T>) -> Self {
        Self { items, next: None }
    }
}

/// The cursor for a position.
pub fn cursor<Position: Serialize>(position: &Position) -> String {
    // Positions are ids, names and numbers, which always have a JSON form.
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(position).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_leads_to_the_next_until_there_is_none() {
        let all: Vec<i64> = (1..=5).collect();
        let (mut paging, mut seen) = (
            Paging {
                limit: Some(2),
                ..Default::default()
            },
            Vec::new(),
        );
        loop {
            let page: Page<i64> = paging.page().unwrap();
            let found = all
                .iter()
                .copied()
                .filter(|n| page.after.is_none_or(|after| *n > after));
            let found = found.take(page.limit as usize).collect();
            let items = Items::new(found, &page, |n| *n, |n| n);
            assert!(items.items.len() <= 2);
            seen.extend(items.items);
            match items.next {
                Some(next) => paging.cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn nonsense_is_refused() {
        for (cursor, limit) in [
            (Some("%"), None),
            (Some("bm8"), None),
            (None, Some(0)),
            (None, Some(201)),
        ] {
            let paging = Paging {
                cursor: cursor.map(str::to_owned),
                limit,
            };
            assert!(paging.page::<i64>().is_err(), "{cursor:?} {limit:?}");
        }
    }
}
