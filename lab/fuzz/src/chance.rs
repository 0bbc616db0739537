//! Random choices that are determined by a seed.

/// A generator of random choices. The same seed, kind and number always give the same choices.
pub struct Chance(fastrand::Rng);

impl Chance {
    /// Creates the generator for one input of a kind.
    pub fn of(seed: u64, kind: &str, number: u64) -> Self {
        // FNV-1a over the identity of the input; the generator spreads it further.
        let named = kind.bytes().chain(number.to_le_bytes());
        let start = 0xcbf2_9ce4_8422_2325 ^ seed.rotate_left(17);
        let hash = named.fold(start, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(fastrand::Rng::with_seed(hash))
    }

    /// A number from zero up to, but not including, `bound`; zero if the bound is zero.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.usize(0..bound.max(1))
    }

    /// A number from `least` to `most`, inclusive.
    pub fn between(&mut self, least: usize, most: usize) -> usize {
        self.0.usize(least..=most)
    }

    /// Returns true in `part` of `whole` cases.
    pub fn odds(&mut self, part: usize, whole: usize) -> bool {
        self.below(whole) < part
    }

    /// A number up to `most` whose order of magnitude is random, so that small ones are as frequent
    /// as large ones.
    pub fn size(&mut self, most: usize) -> usize {
        let bits = usize::BITS - most.leading_zeros();
        let bits = self.0.u32(0..=bits);
        self.below(1_usize.checked_shl(bits).unwrap_or(usize::MAX))
            .min(most)
    }

    /// A number up to `most`, half of the time a large one.
    pub fn much(&mut self, most: usize) -> usize {
        match self.odds(1, 2) {
            true => self.between(most / 2, most),
            false => self.size(most),
        }
    }

    /// One of the choices.
    ///
    /// # Panics
    ///
    /// If `choices` is empty.
    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }

    /// Any bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.0.fill(&mut bytes);
        bytes
    }

    /// Any byte.
    pub fn byte(&mut self) -> u8 {
        self.0.u8(..)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A short word of lower case letters.
    pub fn word(&mut self) -> String {
        (0..self.between(1, 8)).map(|_| self.0.lowercase()).collect()
    }

    /// Text with characters that parsers find difficult.
    pub fn text(&mut self, most: usize) -> String {
        const ODD: [&str; 20] = [
            "\0",
            "\u{7f}",
            "\u{feff}",
            "\u{202e}",
            "\u{10ffff}",
            "é",
            "\u{301}",
            "ß",
            "日",
            "🦀",
            "'",
            "\"",
            "\\",
            "\n",
            "\r",
            "\t",
            "%00",
            "{",
            "$1",
            "--",
        ];
        let count = self.size(most);
        let mut text = String::new();
        for _ in 0..count {
            match self.odds(1, 8) {
                true => text.push_str(self.pick(&ODD)),
                false => text.push(self.0.alphanumeric()),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_choices() {
        let choices = |seed, kind, number| {
            let mut chance = Chance::of(seed, kind, number);
            (chance.number(), chance.text(50), chance.bytes(9))
        };
        assert_eq!(choices(17, "sql", 3), choices(17, "sql", 3));
        assert_ne!(choices(17, "sql", 3), choices(17, "sql", 4));
        assert_ne!(choices(17, "sql", 3), choices(17, "schemas", 3));
        assert_ne!(choices(17, "sql", 3), choices(18, "sql", 3));
    }

    #[test]
    fn sizes_stay_within_their_bound() {
        let mut chance = Chance::of(1, "", 0);
        let sizes: Vec<usize> = (0..1_000).map(|_| chance.size(1_000)).collect();
        assert!(sizes.iter().all(|size| *size <= 1_000));
        assert!(sizes.iter().any(|size| *size < 4) && sizes.iter().any(|size| *size > 400));
    }
}
