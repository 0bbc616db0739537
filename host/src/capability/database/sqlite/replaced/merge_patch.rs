//! `json_patch` and `jsonb_patch`: RFC 7396 with the results of `jsonMergePatch` in SQLite 3.51.
//!
//! Like SQLite, this code searches all members of the target for each member of the patch, but it
//! checks the clock.

use std::borrow::Cow;

use super::text::read_character;
use super::{Answer, Asked, Call, Clock, Failure};
use crate::sqlite::memory;

/// A member of an object: its quoted label and its value, both as written in the text.
type Member<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// `json_patch(target, patch)`.
pub(super) fn json_patch(call: &Call<'_>) -> Result<Answer, Failure> {
    Ok(patched(call)?.map_or(Answer::Null, Answer::Json))
}

/// `jsonb_patch(target, patch)`: the same JSON as SQLite's, though its binary encoding may differ.
pub(super) fn jsonb_patch(call: &Call<'_>) -> Result<Answer, Failure> {
    let Some(text) = patched(call)? else {
        return Ok(Answer::Null);
    };
    let binary = call.ask(c"SELECT jsonb(?1)", Asked::Text(&text))?;
    Ok(binary.map_or(Answer::Null, Answer::Blob))
}

fn patched(call: &Call<'_>) -> Result<Option<Vec<u8>>, Failure> {
    // SQLite's `json` accepts every form of JSON and writes one form without white space.
    let plain = |index| call.ask(c"SELECT json(?1)", Asked::Argument(index));
    let Some(target) = plain(0)? else { return Ok(None) };
    let Some(patch) = plain(1)? else { return Ok(None) };
    merge(&target, &patch, &call.clock).map(Some)
}

/// Applies the patch to the target. Both are JSON as SQLite writes it, at most a thousand objects
/// deep.
fn merge(target: &[u8], patch: &[u8], clock: &Clock<'_>) -> Result<Vec<u8>, Failure> {
    if !is_object(patch) {
        return Ok(patch.to_vec());
    }
    if memory::is_deep() {
        return Err(Failure::Wrong("JSON nested too deep".to_owned()));
    }
    let mut merged = if is_object(target) {
        members(target, clock)?
    } else {
        Vec::new()
    };
    for (label, value) in members(patch, clock)? {
        let mut found = None;
        for (index, (other, _)) in merged.iter().enumerate() {
            clock.work(label.len().min(other.len()) + 8)?;
            if is_same_label(&label, other) {
                found = Some(index);
                break;
            }
        }
        match found {
            Some(index) if *value == *b"null" => {
                merged.remove(index);
            }
            Some(index) => {
                let new = merge(&merged[index].1, &value, clock)?;
                merged[index].1 = Cow::Owned(new);
            }
            None if *value == *b"null" => {}
            None => {
                let new = merge(b"null", &value, clock)?;
                merged.push((label, Cow::Owned(new)));
            }
        }
    }
    let mut text = vec![b'{'];
    for (index, (label, value)) in merged.iter().enumerate() {
        clock.work(label.len() + value.len())?;
        if index > 0 {
            text.push(b',');
        }
        text.extend_from_slice(label);
        text.push(b':');
        text.extend_from_slice(value);
    }
    text.push(b'}');
    Ok(text)
}

fn is_object(json: &[u8]) -> bool {
    json.first() == Some(&b'{')
}

fn members<'a>(object: &'a [u8], clock: &Clock<'_>) -> Result<Vec<Member<'a>>, Failure> {
    clock.work(object.len())?;
    let mut members = Vec::new();
    let mut rest = object.get(1..).unwrap_or_default();
    while rest.first() == Some(&b'"') {
        let (label, after) = rest.split_at(string_length(rest));
        let after = after.get(1..).unwrap_or_default();
        let (value, after) = after.split_at(value_length(after));
        members.push((Cow::Borrowed(label), Cow::Borrowed(value)));
        rest = after.strip_prefix(b",").unwrap_or_default();
    }
    Ok(members)
}

/// The length of the string at the start of `text`, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the value at the start of `text`: up to a comma or bracket outside the value.
fn value_length(text: &[u8]) -> usize {
    let (mut index, mut depth) = (0, 0_usize);
    while let Some(byte) = text.get(index) {
        match byte {
            b'"' => {
                index += string_length(&text[index..]);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => break,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => break,
            _ => {}
        }
        index += 1;
    }
    index
}

fn is_same_label(one: &[u8], other: &[u8]) -> bool {
    let is_plain = |label: &[u8]| !label.contains(&b'\\');
    one == other || (!(is_plain(one) && is_plain(other)) && characters(one).eq(characters(other)))
}

/// The characters of a label, with escapes decoded.
fn characters(label: &[u8]) -> impl Iterator<Item = u32> {
    let inner = label.len().checked_sub(1).and_then(|end| label.get(1..end));
    let mut rest = inner.unwrap_or_default();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (character, after) = match rest.first() {
            Some(b'\\') => unescaped(rest.get(1..).unwrap_or_default()),
            _ => read_character(rest),
        };
        rest = after;
        Some(character)
    })
}

/// Decodes an escape. `text` begins after the backslash.
fn unescaped(text: &[u8]) -> (u32, &[u8]) {
    let Some((kind, rest)) = text.split_first() else {
        return (0, text);
    };
    let character = match kind {
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => 0x0a,
        b'r' => 0x0d,
        b't' => 0x09,
        b'u' => {
            let Some(unit) = hexadecimal(rest) else {
                return (u32::from(b'u'), rest);
            };
            let rest = rest.get(4..).unwrap_or_default();
            let low = rest.strip_prefix(b"\\u").and_then(hexadecimal);
            return match low {
                Some(low) if unit & 0xfc00 == 0xd800 && low & 0xfc00 == 0xdc00 => (
                    0x1_0000 + ((unit & 0x3ff) << 10) + (low & 0x3ff),
                    rest.get(6..).unwrap_or_default(),
                ),
                _ => (unit, rest),
            };
        }
        other => u32::from(*other),
    };
    (character, rest)
}

fn hexadecimal(text: &[u8]) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(..4)?).ok()?;
    u32::from_str_radix(digits, 16).ok()
}
