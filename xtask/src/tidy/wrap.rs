//! Wraps paragraphs of comments and of Markdown.

/// The prefix of a line: blanks and the comment marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Its length in bytes.
    pub len: usize,
}

impl Prefix {
    /// The prefix of a line without a marker.
    pub fn none() -> Self {
        Self { len: 0 }
    }

    /// The prefix of a line that contains only a comment.
    pub fn of_comment(line: &str) -> Option<Self> {
        let begin = line.len() - line.trim_start().len();
        let marker = ["//!", "///", "//"]
            .into_iter()
            .find(|marker| line[begin..].starts_with(marker))?;
        let blank = usize::from(line[begin + marker.len()..].starts_with(' '));
        Some(Self {
            len: begin + marker.len() + blank,
        })
    }

    /// Its number of characters in `line`.
    pub fn width(self, line: &str) -> usize {
        line[..self.len].chars().count()
    }
}

/// Whether a line begins or ends a code block.
pub fn is_fence(content: &str) -> bool {
    content.trim_start().starts_with("```")
}

/// Whether a line cannot be wrapped within `most` characters: a table row, a heading, or a single
/// word.
pub fn cannot_be_wrapped(content: &str, most: usize) -> bool {
    let text = content.trim_start();
    let begin = content.len() - text.len() + marker(text);
    let first_blank = content[begin..].find(' ').map(|at| begin + at);
    is_of_one_line(text) || first_blank.is_none_or(|at| content[..at].chars().count() > most)
}

/// Whether Markdown requires it on one line.
fn is_of_one_line(text: &str) -> bool {
    text.starts_with(['|', '#', '<']) || text.starts_with('[') && text.contains("]: ")
}

/// The length of the list marker at the start of a line.
fn marker(text: &str) -> usize {
    let number = text.bytes().take_while(u8::is_ascii_digit).count();
    match text.as_bytes() {
        [b'-' | b'*' | b'>', b' ', ..] => 2,
        [..] if number > 0 && text[number..].starts_with(". ") => number + 2,
        _ => 0,
    }
}

/// The lines of a paragraph.
struct Paragraph<'a> {
    /// The common prefix of its lines.
    prefix: &'a str,
    /// The blanks and the list marker of the first line, after the prefix.
    first: &'a str,
    /// Its unchanged lines.
    lines: Vec<&'a str>,
    words: Vec<&'a str>,
}

/// Wraps the paragraphs of `text` that have a line of more than `most` characters. `prefix` returns
/// the prefix of a line, or `None` if the line must not change.
pub fn wrap(text: &str, most: usize, prefix: impl Fn(usize, &str) -> Option<Prefix>) -> String {
    let mut wrapped = String::new();
    let mut paragraph: Option<Paragraph<'_>> = None;
    let mut fence = false;
    for (index, line) in text.lines().enumerate() {
        let place = prefix(index, line);
        let content = place.map_or("", |place| &line[place.len..]);
        let is_fence = place.is_some() && is_fence(content);
        fence ^= is_fence;
        let body = content.trim_start();
        let is_text = place.is_some_and(|_| !fence && !is_fence && !body.is_empty() && !is_of_one_line(body));
        let before = place.map_or("", |place| &line[..place.len]);
        if let Some(open) = &mut paragraph
            && is_text
            && open.prefix == before
            && marker(body) == 0
            && !open.ends_hard()
        {
            open.lines.push(line);
            open.words.extend(body.split_whitespace());
            continue;
        }
        finish(&mut wrapped, paragraph.take(), most);
        if is_text {
            let first = &content[..content.len() - body.len() + marker(body)];
            paragraph = Some(Paragraph {
                prefix: before,
                first,
                lines: vec![line],
                words: content[first.len()..].split_whitespace().collect(),
            });
        } else {
            wrapped.push_str(line);
            wrapped.push('\n');
        }
    }
    finish(&mut wrapped, paragraph, most);
    wrapped
}

impl Paragraph<'_> {
    /// Whether its last line ends with a hard line break.
    fn ends_hard(&self) -> bool {
        self.lines.last().is_some_and(|line| line.ends_with('\\'))
    }
}

fn finish(wrapped: &mut String, paragraph: Option<Paragraph<'_>>, most: usize) {
    let Some(paragraph) = paragraph else {
        return;
    };
    if paragraph.lines.iter().all(|line| line.chars().count() <= most) {
        for line in paragraph.lines {
            wrapped.push_str(line);
            wrapped.push('\n');
        }
        return;
    }
    let mut line = format!("{}{}", paragraph.prefix, paragraph.first);
    let hanging = format!(
        "{}{}",
        paragraph.prefix,
        " ".repeat(paragraph.first.chars().count())
    );
    let mut is_empty = true;
    for word in pieces(&paragraph.words) {
        let width = line.chars().count() + usize::from(!is_empty) + word.chars().count();
        if !is_empty && width > most {
            wrapped.push_str(&line);
            wrapped.push('\n');
            line.clone_from(&hanging);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(&word);
        is_empty = false;
    }
    wrapped.push_str(&line);
    wrapped.push('\n');
}

/// The pieces between which a line may be broken. Code in backquotes stays in one piece, and so
/// does a word that would begin a list with the word before it.
fn pieces(words: &[&str]) -> Vec<String> {
    let quotes = |word: &str| word.matches('`').count();
    // An unmatched backquote is not code.
    let has_code = words.iter().map(|word| quotes(word)).sum::<usize>() % 2 == 0;
    let mut pieces: Vec<String> = Vec::new();
    let mut is_code = false;
    for word in words {
        let begins_list = marker(&format!("{word} ")) > 0 || word.starts_with(['#', '|']);
        match pieces.last_mut() {
            Some(last) if is_code || begins_list => {
                last.push(' ');
                last.push_str(word);
            }
            _ => pieces.push((*word).to_owned()),
        }
        is_code ^= has_code && quotes(word) % 2 == 1;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(text: &str) -> String {
        wrap(text, 20, |_, _| Some(Prefix::none()))
    }

    #[test]
    fn a_paragraph_is_wrapped_and_its_neighbours_stay() {
        assert_eq!(
            markdown("one two\nthree\n\none two three four five\nsix\n\nshort\n"),
            "one two\nthree\n\none two three four\nfive six\n\nshort\n"
        );
    }

    #[test]
    fn an_item_hangs_and_the_next_one_is_its_own() {
        assert_eq!(
            markdown("- one two three four five\n  six\n- seven\n10. one two three four five\n"),
            "- one two three four\n  five six\n- seven\n10. one two three\n    four five\n"
        );
    }

    #[test]
    fn tables_headings_and_code_stay() {
        let text = "| one two | three four five |\n# one two three four five six\n```\none two three four five six\n```\n";
        assert_eq!(markdown(text), text);
    }

    #[test]
    fn code_stays_in_one_piece_and_no_list_begins() {
        assert_eq!(
            markdown("one two three `four five` six - seven\n"),
            "one two three\n`four five` six -\nseven\n"
        );
    }

    #[test]
    fn a_comment_keeps_its_marker() {
        let text = "    /// one two three four five\n    /// six\n    //\n    // seven\n";
        let wrapped = wrap(text, 24, |_, line| Prefix::of_comment(line));
        assert_eq!(
            wrapped,
            "    /// one two three\n    /// four five six\n    //\n    // seven\n"
        );
    }
}
