//! The log of a plugin: the lines that it writes through the contract and the text that it prints.
//!
//! Lines are kept in memory until the invocation ends and are stored with its record. A line is cut
//! to 8 KiB, control characters are replaced, and so is every secret that the plugin has read.
//! Lines beyond the invocation's budget are counted and dropped.
//!
//! Printed text is split at line feeds. A printed line that is too long is split instead of cut.

mod host;
mod printed;

pub use host::{LogView, add_to_linker};
use printed::Printed;
pub use printed::PrintedLines;

use secrecy::{ExposeSecret, SecretString};

use super::Invocation;
use crate::domain::log_line::{Level, LogLine};
use crate::domain::units::as_u64;

/// Longer lines are cut, because the plugin chooses their length.
const MAX_LINE_BYTES: usize = 8 * 1024;

/// Further fields are left out.
const MAX_FIELDS: usize = 32;

/// Adds a line of the host, which tells the author how the invocation ended. It ignores the
/// invocation's log budget, so callers must add only a few.
pub fn append_of_host(invocation: &mut Invocation, level: Level, message: &str) {
    let line = line(invocation, level, message, Vec::new());
    invocation.log_lines.push(line);
}

/// Prepares a text of the plugin for storage outside of its log: at most `most` bytes, without
/// secrets and terminal escape sequences. Line breaks stay.
pub fn stored_text(invocation: &Invocation, text: &str, most: usize) -> String {
    // The plugin chose the length, so the text is cut before anything is searched in it.
    let cut = text.floor_char_boundary(most.saturating_add(longest_secret(invocation)));
    let rest = text.len() - cut;
    let text = without_secrets(invocation, text[..cut].to_owned());
    let is_cut = rest > 0 || text.len() > most;
    let mut text: String = text
        .chars()
        .map(|c| if c != '\n' && deceives(c) { ' ' } else { c })
        .collect();
    if is_cut {
        text.truncate(text.floor_char_boundary(most.saturating_sub(CUT.len_utf8())));
        text.push(CUT);
    }
    text
}

/// Stands at the end of a text that was cut.
const CUT: char = '…';

fn line(invocation: &Invocation, level: Level, message: &str, fields: Vec<(String, String)>) -> LogLine {
    LogLine {
        tenant: invocation.active.tenant,
        plugin: invocation.active.plugin.clone(),
        invocation: invocation.id,
        at: invocation.clock.now(),
        level,
        message: clean(invocation, message),
        fields,
    }
}

/// Adds a line to the invocation's log, or counts it as dropped.
pub fn append(invocation: &mut Invocation, level: Level, message: &str, fields: &[(String, String)]) {
    let limits = invocation.limits();
    let (most_lines, most_bytes) = (limits.log_lines, limits.log_bytes.0);
    if invocation.usage.log_lines >= most_lines || invocation.usage.log_bytes >= most_bytes {
        invocation.usage.log_lines_dropped = invocation.usage.log_lines_dropped.saturating_add(1);
        return;
    }
    let fields: Vec<(String, String)> = fields
        .iter()
        .take(MAX_FIELDS)
        .map(|(name, value)| (clean(invocation, name), clean(invocation, value)))
        .collect();
    let line = line(invocation, level, message, fields);
    let log_bytes = invocation.usage.log_bytes.saturating_add(as_u64(line.bytes()));
    if log_bytes > most_bytes {
        invocation.usage.log_lines_dropped = invocation.usage.log_lines_dropped.saturating_add(1);
        return;
    }
    invocation.usage.log_bytes = log_bytes;
    invocation.usage.log_lines += 1;
    invocation.log_lines.push(line);
}

/// Adds the printed text, line by line. Secrets are removed first, because a secret with line
/// breaks cannot be found in single lines.
pub fn append_printed(invocation: &mut Invocation, level: Level, printed: &PrintedLines) {
    let Printed {
        text,
        dropped,
        is_cut,
    } = printed.take();
    let mut text = without_secrets(invocation, text);
    if is_cut {
        text.truncate(text.len() - begun_secret(invocation, &text));
    }
    append_text(invocation, level, &text);
    let total = &mut invocation.usage.log_lines_dropped;
    *total = total.saturating_add(dropped);
}

fn append_text(invocation: &mut Invocation, level: Level, text: &str) {
    let pieces = text.lines().flat_map(pieces);
    for piece in pieces.filter(|piece| !piece.trim().is_empty()) {
        append(invocation, level, piece, &[]);
    }
}

/// Splits a line into pieces that need no cut.
fn pieces(mut line: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = line.split_at(line.floor_char_boundary(MAX_LINE_BYTES));
        line = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Prepares text for storage: one line without terminal escape sequences and without secrets.
fn clean(invocation: &Invocation, text: &str) -> String {
    // The first cut leaves room for one secret, so that a secret at the cut is replaced as a whole.
    let cut = text.floor_char_boundary(MAX_LINE_BYTES + longest_secret(invocation));
    let mut text = without_secrets(invocation, text[..cut].to_owned());
    text.truncate(text.floor_char_boundary(MAX_LINE_BYTES));
    if text.contains(deceives) {
        text = text.chars().map(|c| if deceives(c) { ' ' } else { c }).collect();
    }
    text
}

/// The length of the longest secret that the plugin has read, in bytes.
fn longest_secret(invocation: &Invocation) -> usize {
    let longest = invocation.revealed.first();
    longest.map_or(0, |secret| secret.expose_secret().len())
}

/// Whether a character could make one line look like several or like another one: control
/// characters, Unicode line breaks, and marks that change the text direction.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Bytes at the end of a text that are the beginning of a secret.
fn begun_secret(invocation: &Invocation, text: &str) -> usize {
    let begun = |secret: &SecretString| {
        let secret = secret.expose_secret();
        let mut beginnings = secret.char_indices().map(|(end, _)| end).rev();
        beginnings.find(|end| text.ends_with(&secret[..*end]))
    };
    invocation.revealed.iter().filter_map(begun).max().unwrap_or(0)
}

fn without_secrets(invocation: &Invocation, mut text: String) -> String {
    for secret in &invocation.revealed {
        if text.contains(secret.expose_secret()) {
            text = text.replace(secret.expose_secret(), "[secret]");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use crate::domain::grant::Grants;
    use crate::domain::limits::Limits;

    fn having_seen(secrets: &[&str]) -> Invocation {
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        for secret in secrets {
            invocation.has_seen(&(*secret).into());
        }
        invocation
    }

    fn messages(invocation: &Invocation) -> Vec<&str> {
        invocation
            .log_lines
            .iter()
            .map(|line| line.message.as_str())
            .collect()
    }

    #[test]
    fn a_secret_that_is_part_of_another_does_not_uncover_the_rest() {
        let mut invocation = having_seen(&["key", "key-of-the-house", "key"]);
        assert_eq!(invocation.revealed.len(), 2);
        append(
            &mut invocation,
            Level::Info,
            "it is key-of-the-house, and key",
            &[],
        );
        assert_eq!(messages(&invocation), ["it is [secret], and [secret]"]);
    }

    #[test]
    fn a_secret_at_the_cut_is_taken_out_whole() {
        let mut invocation = having_seen(&["0123456789"]);
        let line = format!("{}0123456789", "x".repeat(MAX_LINE_BYTES - 5));
        append(&mut invocation, Level::Info, &line, &[]);
        assert!(messages(&invocation)[0].ends_with("x[secr"));
    }

    #[test]
    fn a_secret_of_several_lines_is_taken_out_of_what_was_printed() {
        let mut invocation = having_seen(&["-----BEGIN-----\nabc\n-----END-----"]);
        let printed = PrintedLines::new(1_000);
        printed.print(b"before -----BEGIN-----\nabc\n-----END----- after\n\nnext");
        append_printed(&mut invocation, Level::Info, &printed);
        assert_eq!(messages(&invocation), ["before [secret] after", "next"]);
    }

    #[test]
    fn a_secret_at_the_end_of_the_budget_is_not_kept_in_part() {
        let secret = "0123456789-ä-secret";
        for kept in 1..secret.len() {
            let mut invocation = having_seen(&[secret]);
            let printed = PrintedLines::new(5 + kept);
            printed.print(format!("it is{secret} and more\n").as_bytes());
            append_printed(&mut invocation, Level::Info, &printed);
            assert_eq!(messages(&invocation), ["it is"], "{kept}");
            assert_eq!(invocation.usage.log_lines_dropped, 1);
        }
    }

    #[test]
    fn a_stored_text_has_line_breaks_but_neither_secrets_nor_more_bytes_than_it_may() {
        let invocation = having_seen(&["s3cret"]);
        let stored = |text: &str, most| stored_text(&invocation, text, most);
        assert_eq!(stored("a s3cret\n\x1b[2Jb", 100), "a [secret]\n [2Jb");
        assert_eq!(stored("0123456789", 10), "0123456789");
        assert_eq!(stored("0123456789a", 10), "0123456…");
        assert_eq!(stored("012345s3cret and more", 9), "012345…");
        assert!(stored(&"é".repeat(1 << 20), 4_096).len() <= 4_096);
    }

    #[test]
    fn lines_and_bytes_are_bounded_and_what_is_beyond_is_counted() {
        let mut invocation = having_seen(&[]);
        for _ in 0..3 {
            append(&mut invocation, Level::Info, &"x".repeat(MAX_LINE_BYTES * 2), &[]);
        }
        assert_eq!(invocation.usage.log_bytes, 3 * as_u64(MAX_LINE_BYTES));
        for _ in 0..1_000 {
            append(&mut invocation, Level::Info, "line", &[]);
        }
        assert_eq!(invocation.usage.log_lines, Limits::default().log_lines);
        assert_eq!(
            invocation.usage.log_lines_dropped,
            1_003 - Limits::default().log_lines
        );
        for _ in 0..100 {
            append(&mut invocation, Level::Info, &"x".repeat(MAX_LINE_BYTES), &[]);
        }
        assert!(invocation.usage.log_bytes <= Limits::default().log_bytes.0);
    }

    #[test]
    fn a_line_of_the_host_needs_no_budget() {
        let mut invocation = having_seen(&["s3cret"]);
        for _ in 0..300 {
            append(&mut invocation, Level::Info, "line", &[]);
        }
        let usage = invocation.usage;
        append_of_host(&mut invocation, Level::Error, "the plugin was ended by s3cret");
        assert_eq!(
            messages(&invocation).last(),
            Some(&"the plugin was ended by [secret]")
        );
        assert_eq!(invocation.usage, usage);
    }

    #[test]
    fn what_is_printed_in_pieces_is_one_line_for_each_of_its_lines() {
        let printed = PrintedLines::new(1 << 10);
        for piece in ["stack ", "of", " two:\n", "  at a\n  at ", "b\n"] {
            printed.print(piece.as_bytes());
        }
        let mut invocation = having_seen(&[]);
        append_printed(&mut invocation, Level::Error, &printed);
        assert_eq!(messages(&invocation), ["stack of two:", "  at a", "  at b"]);
    }

    #[test]
    fn one_line_stays_one_line_and_does_not_pass_for_another() {
        let mut invocation = having_seen(&[]);
        let forged = "}\r\n{\"level\":\"error\",\"tenant\":\"other\"}\u{2028}\u{85}\u{202e}rorre";
        append(&mut invocation, Level::Info, forged, &[]);
        assert_eq!(
            messages(&invocation),
            ["}  {\"level\":\"error\",\"tenant\":\"other\"}   rorre"]
        );
        assert_eq!(invocation.log_lines[0].level, Level::Info);
    }

    #[test]
    fn a_long_line_is_split_and_one_without_end_is_bounded() {
        let mut invocation = having_seen(&[]);
        let long = format!("x{}", "é".repeat(MAX_LINE_BYTES / 2));
        append_text(&mut invocation, Level::Info, &format!("{long}\nnext"));
        assert_eq!(messages(&invocation), [&long[..MAX_LINE_BYTES - 1], "é", "next"]);

        let mut invocation = having_seen(&[]);
        append_text(&mut invocation, Level::Info, &"x".repeat(100 << 20));
        let most = Limits::default().log_bytes.as_usize() / MAX_LINE_BYTES;
        assert_eq!(messages(&invocation), vec!["x".repeat(MAX_LINE_BYTES); most]);
        assert_eq!(
            as_u64(most) + u64::from(invocation.usage.log_lines_dropped),
            (100 << 20) / as_u64(MAX_LINE_BYTES)
        );
    }

    #[test]
    fn a_line_without_a_line_feed_ends_with_the_invocation() {
        let printed = PrintedLines::new(8);
        let mut first = having_seen(&[]);
        printed.print(b"a\nb");
        append_printed(&mut first, Level::Info, &printed);
        assert_eq!(messages(&first), ["a", "b"]);
        let mut second = having_seen(&[]);
        printed.print(b"c\n");
        append_printed(&mut second, Level::Info, &printed);
        assert_eq!(messages(&second), ["c"]);
        // A dropped line without a line feed counts as well.
        for (more, dropped) in [
            (&b""[..], 0),
            (b"\n", 0),
            (b"\n9", 1),
            (b"9\n", 1),
            (b"9\n10", 2),
            (b"9\n10\n", 2),
        ] {
            let mut third = having_seen(&[]);
            printed.print(b"12345678");
            printed.print(more);
            append_printed(&mut third, Level::Info, &printed);
            assert_eq!(messages(&third), ["12345678"]);
            assert_eq!(third.usage.log_lines_dropped, dropped, "{more:?}");
        }
    }

    #[test]
    fn a_secret_of_several_lines_is_taken_out_of_lines_that_come_one_by_one() {
        let mut invocation = having_seen(&["-----BEGIN-----\nabcdefgh\n-----END-----\n}"]);
        for line in ["key: -----BEGIN-----", "abcdefgh", "-----END-----.", "{ }"] {
            append(&mut invocation, Level::Info, line, &[]);
        }
        assert_eq!(
            messages(&invocation),
            ["key: [secret]", "[secret]", "[secret].", "{ }"]
        );
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        let mut invocation = having_seen(&[]);
        append(
            &mut invocation,
            Level::Info,
            "a\x1b[2Jb\r\nc",
            &[("n\n".to_owned(), "v\0".to_owned())],
        );
        assert_eq!(messages(&invocation), ["a [2Jb  c"]);
        assert_eq!(
            invocation.log_lines[0].fields,
            [("n ".to_owned(), "v ".to_owned())]
        );
    }
}
