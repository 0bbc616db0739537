//! A part of a list.

/// Which part of a list is wanted: `limit` items after the one at `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<Position> {
    /// The last item of the page before; `None` for the first page.
    pub after: Option<Position>,
    /// How many items at most.
    pub limit: u32,
}

impl<Position> Page<Position> {
    /// The first `limit` items.
    pub fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// The next `limit` items after one.
    pub fn after(position: Position, limit: u32) -> Self {
        Self {
            after: Some(position),
            limit,
        }
    }
}
