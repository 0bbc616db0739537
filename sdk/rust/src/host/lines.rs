//! Splits output that is written in pieces into lines.

use std::mem;

/// The longest line. Longer ones are split, because the host cuts log lines at this length.
const LONGEST: usize = 8 * 1024;

/// The text since the last line feed.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Creates an empty buffer.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds written bytes, and calls `hand_over` with each complete line.
    pub fn write(&mut self, mut written: &[u8], mut hand_over: impl FnMut(&str)) {
        while !written.is_empty() {
            let length = written.iter().position(|byte| *byte == b'\n');
            let line = &written[..length.unwrap_or(written.len())];
            let room = LONGEST.saturating_sub(self.0.len());
            if line.len() > room {
                let cut = boundary(line, room);
                self.0.extend_from_slice(&line[..cut]);
                self.end(&mut hand_over);
                written = &written[cut..];
                continue;
            }
            self.0.extend_from_slice(line);
            let Some(length) = length else { return };
            self.end(&mut hand_over);
            written = &written[length + 1..];
        }
    }

    /// Calls `hand_over` with the last line if it has no line feed. Blank lines are skipped.
    pub fn end(&mut self, mut hand_over: impl FnMut(&str)) {
        let line = mem::take(&mut self.0);
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if !line.is_empty() {
            hand_over(line);
        }
    }
}

/// The last index up to `most` that does not split a character.
fn boundary(text: &[u8], most: usize) -> usize {
    let is_inside = |index: usize| {
        text.get(index)
            .is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000)
    };
    // A character has at most four bytes. A longer sequence of continuation bytes is not text.
    let mut places = (most.saturating_sub(3)..=most).rev();
    places.find(|index| !is_inside(*index)).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of text written in these pieces.
    fn lines(pieces: &[&str]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::new(), Vec::new());
        let mut hand_over = |line: &str| found.push(line.to_owned());
        for piece in pieces {
            lines.write(piece.as_bytes(), &mut hand_over);
        }
        lines.end(&mut hand_over);
        found
    }

    #[test]
    fn a_line_ends_with_its_line_feed_and_not_with_a_write() {
        assert_eq!(lines(&["a\nb\n"]), ["a", "b"]);
        assert_eq!(
            lines(&["pieces of ", "1", " and ", "2", "\n"]),
            ["pieces of 1 and 2"]
        );
        assert_eq!(lines(&["a\r\n", "b"]), ["a", "b"]);
        assert_eq!(
            lines(&["\nthread 'main' panicked at src/lib.rs:7:5:\nno stock\n"]),
            ["thread 'main' panicked at src/lib.rs:7:5:", "no stock",]
        );
        assert_eq!(
            lines(&["   0: handle\n", "\n", "             at src/lib.rs:7:5\n"]),
            ["   0: handle", "             at src/lib.rs:7:5",]
        );
        assert_eq!(lines(&[]), Vec::<String>::new());
    }

    #[test]
    fn an_ended_line_is_not_the_beginning_of_the_next() {
        let (mut lines, mut found) = (Lines::new(), Vec::new());
        lines.write(b"first", |_| panic!("the line has no end yet"));
        lines.end(|line| found.push(line.to_owned()));
        lines.end(|_| panic!("it was ended"));
        lines.write(b"second\n", |line| found.push(line.to_owned()));
        assert_eq!(found, ["first", "second"]);
    }

    #[test]
    fn a_long_line_is_split_at_the_bound_and_never_within_a_character() {
        let most = "x".repeat(LONGEST);
        assert_eq!(lines(&[&most, "\n"]), [most.as_str()]);
        assert_eq!(lines(&[&most, "y"]), [most.as_str(), "y"]);
        let odd = format!("x{}", "é".repeat(LONGEST / 2));
        assert_eq!(lines(&[&odd, "\nz\n"]), [&odd[..LONGEST - 1], "é", "z"]);
        let much = lines(&[&"é".repeat(5 * LONGEST)]);
        assert_eq!((much.len(), much.concat().len()), (10, 10 * LONGEST));
    }
}
