//! Text functions with the results of `func.c` in SQLite 3.51: `instr`, `replace`, `trim`, `ltrim`,
//! `rtrim` and `unhex`.

use memchr::memmem;

use super::{Answer, Call, Clock, Failure};

/// `instr(haystack, needle)`: the position of the needle, from 1, in characters, or in bytes if
/// both are blobs.
pub(super) fn instr(call: &Call<'_>) -> Result<Answer, Failure> {
    if call.is_null(0) || call.is_null(1) {
        return Ok(Answer::Null);
    }
    let (haystack, needle) = (call.content(0)?, call.content(1)?);
    let is_text = !(call.is_blob(0) && call.is_blob(1));
    Ok(Answer::Integer(position(haystack, needle, is_text)))
}

/// The time is linear in the sum of both sizes.
fn position(haystack: &[u8], needle: &[u8], is_text: bool) -> i64 {
    // SQLite compares text only at the starts of characters and at the start of the text.
    let found = match needle.first() {
        Some(first) if is_text && is_continuation(*first) => haystack.starts_with(needle).then_some(0),
        _ => memmem::find(haystack, needle),
    };
    let Some(found) = found else { return 0 };
    let before = match (is_text, haystack.get(1..=found)) {
        (true, Some(passed)) => passed.iter().filter(|byte| !is_continuation(**byte)).count(),
        _ => found,
    };
    i64::try_from(before).unwrap_or(i64::MAX - 1) + 1
}

/// `replace(text, pattern, replacement)`.
pub(super) fn replace(call: &Call<'_>) -> Result<Answer, Failure> {
    let (Some(text), Some(pattern)) = (call.text(0)?, call.text(1)?) else {
        return Ok(Answer::Null);
    };
    // SQLite treats a pattern that begins with NUL as empty.
    if pattern.first().is_none_or(|first| *first == 0) {
        return Ok(Answer::Text(text.to_vec()));
    }
    let Some(replacement) = call.text(2)? else {
        return Ok(Answer::Null);
    };
    let finder = memmem::Finder::new(pattern);
    let mut count = 0;
    for _ in finder.find_iter(text) {
        call.clock.work(pattern.len())?;
        count += 1;
    }
    let length = text.len() - count * pattern.len() + count.saturating_mul(replacement.len());
    if replacement.len() > pattern.len() && length > call.longest() {
        return Err(Failure::TooBig);
    }
    let mut replaced = Vec::with_capacity(length);
    let mut rest = 0;
    for found in finder.find_iter(text) {
        call.clock.work(pattern.len() + replacement.len())?;
        replaced.extend_from_slice(&text[rest..found]);
        replaced.extend_from_slice(replacement);
        rest = found + pattern.len();
    }
    replaced.extend_from_slice(&text[rest..]);
    Ok(Answer::Text(replaced))
}

/// `trim(text[, characters])`.
pub(super) fn trim(call: &Call<'_>) -> Result<Answer, Failure> {
    trimmed(call, true, true)
}

/// `ltrim(text[, characters])`.
pub(super) fn ltrim(call: &Call<'_>) -> Result<Answer, Failure> {
    trimmed(call, true, false)
}

/// `rtrim(text[, characters])`.
pub(super) fn rtrim(call: &Call<'_>) -> Result<Answer, Failure> {
    trimmed(call, false, true)
}

fn trimmed(call: &Call<'_>, left: bool, right: bool) -> Result<Answer, Failure> {
    let Some(mut text) = call.text(0)? else {
        return Ok(Answer::Null);
    };
    let set = match call.count() {
        1 => &b" "[..],
        _ => match call.text(1)? {
            Some(set) => set,
            None => return Ok(Answer::Null),
        },
    };
    let clock = &call.clock;
    if left {
        while let Some(length) = first_of(set, clock, |character| text.starts_with(character))? {
            text = &text[length..];
        }
    }
    if right {
        while let Some(length) = first_of(set, clock, |character| text.ends_with(character))? {
            text = &text[..text.len() - length];
        }
    }
    Ok(Answer::Text(text.to_vec()))
}

/// The length of the first character of `set` for which `matches` is true.
fn first_of(
    set: &[u8],
    clock: &Clock<'_>,
    matches: impl Fn(&[u8]) -> bool,
) -> Result<Option<usize>, Failure> {
    let mut rest = set;
    while let Some(length) = character_length(rest) {
        clock.work(length)?;
        let (character, after) = rest.split_at(length);
        if matches(character) {
            return Ok(Some(length));
        }
        rest = after;
    }
    Ok(None)
}

/// The length of the first character, or `None` at the end or at a NUL.
fn character_length(text: &[u8]) -> Option<usize> {
    let first = *text.first().filter(|first| **first != 0)?;
    let more = match first {
        0xc0.. => text[1..]
            .iter()
            .take_while(|byte| is_continuation(**byte))
            .count(),
        _ => 0,
    };
    Some(1 + more)
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// `unhex(text[, ignored characters])`.
pub(super) fn unhex(call: &Call<'_>) -> Result<Answer, Failure> {
    let Some(text) = call.text(0)? else {
        return Ok(Answer::Null);
    };
    let passed = match call.count() {
        1 => &[][..],
        _ => match call.text(1)? {
            Some(passed) => passed,
            None => return Ok(Answer::Null),
        },
    };
    // SQLite reads up to the first NUL.
    let mut rest = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut bytes = Vec::with_capacity(rest.len() / 2);
    while let Some(first) = rest.first() {
        if let Some(high) = digit(*first) {
            let Some(low) = rest.get(1).and_then(|second| digit(*second)) else {
                return Ok(Answer::Null);
            };
            bytes.push(high << 4 | low);
            rest = &rest[2..];
        } else {
            let (character, after) = read_character(rest);
            if !contains(passed, character, &call.clock)? {
                return Ok(Answer::Null);
            }
            rest = after;
        }
        call.clock.work(1)?;
    }
    Ok(Answer::Blob(bytes))
}

fn contains(mut text: &[u8], wanted: u32, clock: &Clock<'_>) -> Result<bool, Failure> {
    while !text.is_empty() {
        let (character, after) = read_character(text);
        clock.work(text.len() - after.len())?;
        if character == wanted {
            return Ok(true);
        }
        text = after;
    }
    Ok(false)
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Splits off the first character, decoded as SQLite decodes UTF-8, even if it is invalid. `text`
/// is not empty.
pub(super) fn read_character(text: &[u8]) -> (u32, &[u8]) {
    const REPLACEMENT: u32 = 0xfffd;
    let first = text.first().copied().unwrap_or(0);
    let mut rest = text.get(1..).unwrap_or_default();
    if first < 0xc0 {
        return (u32::from(first), rest);
    }
    let mut character = u32::from(match first {
        0xc0..=0xdf => first & 0x1f,
        0xe0..=0xef => first & 0x0f,
        0xf0..=0xf7 => first & 0x07,
        0xf8..=0xfb => first & 0x03,
        0xfc | 0xfd => first & 0x01,
        _ => 0,
    });
    while let Some(byte) = rest.first().filter(|byte| is_continuation(**byte)) {
        character = (character << 6).wrapping_add(u32::from(byte & 0x3f));
        rest = &rest[1..];
    }
    let is_none = character < 0x80 || character & 0xffff_f800 == 0xd800 || character & 0xffff_fffe == 0xfffe;
    (if is_none { REPLACEMENT } else { character }, rest)
}
