//! Generations: counters that increase with every change to a tenant's stored data.

/// A change counter. The first value is 1; 0 marks a state that was not read from the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub i64);

/// The generations of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    /// Counts changes to everything that serving reads, except API keys.
    pub content: Generation,
    /// Counts changes to the API keys. They have their own counter, since a tenant may have many.
    pub keys: Generation,
}

impl Generations {
    /// Whether `stored` contains a change that this state lacks.
    pub fn are_behind(self, stored: Self) -> bool {
        self.content < stored.content || self.keys < stored.keys
    }
}

impl Generation {
    /// The next generation.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
