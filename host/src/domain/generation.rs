//! Generations: how often what is stored of a tenant was changed.

/// A count of changes. The first is 1; 0 stands for a state that was not read from the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub i64);

/// The generations of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// Of everything that serving its requests reads, except API keys.
    pub content: Generation,
    /// Of its API keys, of which there may be many.
    pub keys: Generation,
}

impl Generations {
    /// Whether a change in `stored` is not in this.
    pub fn are_behind(self, stored: Self) -> bool {
        self.content < stored.content || self.keys < stored.keys
    }
}

impl Generation {
    /// The one after this.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
