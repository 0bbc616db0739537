//! A simple SQL tokenizer, which finds the names that a text uses.

const QUOTES: [char; 3] = ['"', '`', '\''];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'t> {
    /// A keyword or a name.
    Word(&'t str),
    /// A name in any kind of quotes. SQLite accepts a string as a name where only a name is
    /// possible.
    Quoted(&'t str),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `.`
    Dot,
    /// `;`
    Semicolon,
    /// An operator, a number or a parameter.
    Other,
}

impl Token<'_> {
    /// Whether the token is this keyword.
    pub(crate) fn is_word(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// The name of the token in lower case, if it is a name.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            // Nested quotes can be written in several ways, so they are removed.
            Token::Word(name) | Token::Quoted(name) => Some(name.replace(QUOTES, "").to_ascii_lowercase()),
            _ => None,
        }
    }
}

/// Splits a text into tokens. Skips comments and white space.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, token) = match first {
            _ if rest.starts_with("--") => (find(rest, 2, "\n"), None),
            _ if rest.starts_with("/*") => (find(rest, 2, "*/"), None),
            '\'' | '"' | '`' => quoted(rest, first, first),
            '[' => quoted(rest, '[', ']'),
            '(' => (1, Some(Token::Open)),
            ')' => (1, Some(Token::Close)),
            ',' => (1, Some(Token::Comma)),
            '.' => (1, Some(Token::Dot)),
            ';' => (1, Some(Token::Semicolon)),
            _ if first.is_ascii_digit() || matches!(first, '$' | '?' | ':' | '@') => {
                (1 + word_length(&rest[1..]), Some(Token::Other))
            }
            _ if is_of_word(first) => {
                let length = word_length(rest);
                (length, Some(Token::Word(&rest[..length])))
            }
            _ if first.is_ascii_whitespace() => (1, None),
            _ => (first.len_utf8(), Some(Token::Other)),
        };
        tokens.extend(token);
        rest = rest.get(length..).unwrap_or_default();
    }
    tokens
}

fn is_of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '$') || !character.is_ascii()
}

fn word_length(text: &str) -> usize {
    text.find(|character| !is_of_word(character))
        .unwrap_or(text.len())
}

/// The position after the next `end`, searched from `from`.
fn find(text: &str, from: usize, end: &str) -> usize {
    text[from..]
        .find(end)
        .map_or(text.len(), |position| from + position + end.len())
}

/// Reads a quoted name. A quote inside is doubled.
fn quoted(text: &str, open: char, close: char) -> (usize, Option<Token<'_>>) {
    let mut end = 1;
    loop {
        let Some(position) = text[end..].find(close) else {
            return (text.len(), Some(Token::Quoted(&text[1..])));
        };
        end += position + 1;
        if open != close || !text[end..].starts_with(close) {
            return (end, Some(Token::Quoted(&text[1..end - 1])));
        }
        end += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_strings_and_comments_are_told_apart() {
        use Token::*;
        let text = "SELECT a.b, 'it''s (', \"q\" [x y] -- c (\n/* ; */ $1 1e5 grün; `z";
        let wanted = [
            Word("SELECT"),
            Word("a"),
            Dot,
            Word("b"),
            Comma,
            Quoted("it''s ("),
            Comma,
            Quoted("q"),
            Quoted("x y"),
            Other,
            Other,
            Word("grün"),
            Semicolon,
            Quoted("z"),
        ];
        assert_eq!(tokens(text), wanted);
    }
}
