//! The samples of a measurement over its rounds, with their median and spread.

use serde::Serialize;

/// Samples, in the order of the rounds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// Adds the sample of a round.
    pub fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The median; NaN if there is no sample.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        }
    }

    /// The least and the most.
    pub fn spread(&self) -> (f64, f64) {
        let sorted = self.sorted();
        let first = sorted.first().copied().unwrap_or(f64::NAN);
        (first, sorted.last().copied().unwrap_or(f64::NAN))
    }

    /// The ratio of this and `other` in each round.
    pub fn over(&self, other: &Series) -> Series {
        Series(
            self.0
                .iter()
                .zip(&other.0)
                .map(|(mine, its)| mine / its)
                .collect(),
        )
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!(Series::default().median().is_nan());
        assert_eq!(Series(vec![3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(Series(vec![4.0, 1.0, 2.0, 3.0]).median(), 2.5);
        assert_eq!(Series(vec![3.0, 1.0]).spread(), (1.0, 3.0));
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let (mine, its) = (Series(vec![1.0, 6.0]), Series(vec![2.0, 3.0]));
        assert_eq!(mine.over(&its).0, [0.5, 2.0]);
    }
}
