//! A page of a list in the database.

/// A page request: `limit` items after the item at `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Position> {
    /// The last item of the previous page; `None` for the first page.
    pub after: Option<Position>,
    /// The most items of the page.
    pub limit: u32,
}

impl<Position> Page<Position> {
    /// The first `limit` items.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// The next `limit` items after a position.
    pub fn after(position: Position, limit: u32) -> Self {
        Self {
            after: Some(position),
            limit,
        }
    }
}
