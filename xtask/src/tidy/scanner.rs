//! Separates code, comments and string literals of Rust, line by line.

/// One line of a Rust file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The line without comments and without the content of string literals.
    pub code: String,
    /// The number of characters in string literals.
    pub in_literals: usize,
    /// Whether it contains only a comment.
    pub is_comment: bool,
}

/// The state of the scanner.
enum Within {
    Code,
    /// A string literal with its terminator, and whether a backslash escapes the next character.
    Literal {
        end: String,
        escapes: bool,
    },
    /// The depth of nested block comments.
    Block(usize),
}

/// The lines of a file.
pub fn scan(text: &str) -> Vec<Line> {
    let mut within = Within::Code;
    text.lines().map(|line| scan_line(line, &mut within)).collect()
}

fn scan_line(text: &str, within: &mut Within) -> Line {
    let mut line = Line::default();
    let mut rest = text;
    let mut has_comment = matches!(within, Within::Block(_));
    while let Some(next) = rest.chars().next() {
        let taken = match within {
            Within::Block(depth) => in_block(rest, depth).unwrap_or_else(|taken| {
                *within = Within::Code;
                taken
            }),
            Within::Literal { end, escapes } => {
                if rest.starts_with(end.as_str()) {
                    let taken = end.len();
                    line.code.push('"');
                    *within = Within::Code;
                    taken
                } else if *escapes && next == '\\' {
                    let taken = escaped(rest);
                    line.in_literals += rest[..taken].chars().count();
                    taken
                } else {
                    line.in_literals += 1;
                    next.len_utf8()
                }
            }
            Within::Code if rest.starts_with("//") => {
                has_comment = true;
                rest.len()
            }
            Within::Code if rest.starts_with("/*") => {
                has_comment = true;
                *within = Within::Block(1);
                2
            }
            Within::Code => match literal(rest, &line.code) {
                Some((begin, literal)) => {
                    line.code.push('"');
                    *within = literal;
                    begin
                }
                None => {
                    let taken = character(rest).unwrap_or(next.len_utf8());
                    line.code.push_str(&rest[..taken]);
                    taken
                }
            },
        };
        rest = &rest[taken..];
    }
    line.is_comment = has_comment && line.code.trim().is_empty() && line.in_literals == 0;
    line
}

/// The bytes of a block comment to skip; `Err` if they end it.
fn in_block(rest: &str, depth: &mut usize) -> Result<usize, usize> {
    if rest.starts_with("*/") {
        *depth -= 1;
        return if *depth == 0 { Err(2) } else { Ok(2) };
    }
    if rest.starts_with("/*") {
        *depth += 1;
        return Ok(2);
    }
    Ok(rest.chars().next().map_or(0, char::len_utf8))
}

/// A string literal that begins here: the length of its opening, and its state.
fn literal(rest: &str, before: &str) -> Option<(usize, Within)> {
    if rest.starts_with('"') {
        let escapes = true;
        return Some((
            1,
            Within::Literal {
                end: "\"".to_owned(),
                escapes,
            },
        ));
    }
    let goes_on = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
    let prefix = ["br", "cr", "r"]
        .into_iter()
        .find(|prefix| rest.starts_with(prefix))?;
    let hashes = rest[prefix.len()..].chars().take_while(|c| *c == '#').count();
    let begin = prefix.len() + hashes;
    if goes_on || !rest[begin..].starts_with('"') {
        return None;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    Some((begin + 1, Within::Literal { end, escapes: false }))
}

/// The length of a character literal that begins here. A lifetime is not one.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let taken = match inner.starts_with('\\') {
        true => inner[escaped(inner)..].find('\'')? + escaped(inner),
        false => inner.chars().next()?.len_utf8(),
    };
    inner[taken..].starts_with('\'').then_some(taken + 2)
}

/// The length of a backslash and the next character.
fn escaped(rest: &str) -> usize {
    1 + rest[1..].chars().next().map_or(0, char::len_utf8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Vec<String> {
        scan(text).into_iter().map(|line| line.code).collect()
    }

    #[test]
    fn what_stands_in_literals_is_no_code() {
        assert_eq!(
            code(r#"f("a // b", 'x', '"', "\"c");"#),
            [r#"f("", 'x', '"', "");"#]
        );
        assert_eq!(
            code("f(r#\"a \" b\"#, b'\\'', br\"\\\");"),
            ["f(\"\", b'\\'', \"\");"]
        );
        assert_eq!(
            code("let bar = for_each::<'a>(r, \"\");"),
            ["let bar = for_each::<'a>(r, \"\");"]
        );
    }

    #[test]
    fn a_literal_goes_on_in_the_next_line() {
        let lines = scan("f(\"one \\\n   two\");\ng();\n");
        assert_eq!(code("f(\"one \\\n   two\");\ng();\n"), ["f(\"", "\");", "g();"]);
        assert_eq!(lines[0].in_literals, 5);
        assert_eq!(lines[1].in_literals, 6);
        assert_eq!(lines[2].in_literals, 0);
    }

    #[test]
    fn comments_are_told_from_code() {
        let lines = scan("  /// a \"b\ncode(); // c\n/* d\ne /* f */\n*/ g();\n\"// h\"\n");
        let comments: Vec<bool> = lines.iter().map(|line| line.is_comment).collect();
        assert_eq!(comments, [true, false, true, true, false, false]);
        assert_eq!(lines[1].code, "code(); ");
        assert_eq!(lines[4].code, " g();");
    }
}
