//! Makes the text part of a mail from its HTML part, in one pass over the text.

/// Elements whose content is not shown.
const SKIPPED: [&str; 5] = ["head", "script", "style", "template", "title"];

/// Elements before and after which a line is empty.
const PARAGRAPHS: [&str; 13] = [
    "p",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "ul",
    "ol",
    "blockquote",
    "pre",
    "hr",
];

/// Elements that begin and end on a line of their own.
const LINES: [&str; 10] = [
    "div", "tr", "li", "section", "header", "footer", "article", "dt", "dd", "body",
];

/// Elements without content, which have no end tag.
const VOID: [&str; 6] = ["br", "hr", "img", "input", "link", "meta"];

/// The longest name of an entity.
const MAX_ENTITY: usize = 10;

/// The text of HTML: without markup, with empty lines between paragraphs, and with the targets of
/// links in parentheses.
pub fn text_of(html: &str) -> String {
    let mut text = Text::default();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        text.write(&rest[..start]);
        rest = &rest[start..];
        let end = match rest.as_bytes().get(1) {
            Some(b'!') if rest.starts_with("<!--") => after(rest, "-->"),
            Some(b'!' | b'?') => after(rest, ">"),
            Some(b'/' | b'a'..=b'z' | b'A'..=b'Z') => {
                let end = end_of_tag(rest);
                let tag = Tag::of(&rest[..end]);
                text.tag(&tag);
                match SKIPPED.contains(&tag.name.as_str()) && !tag.is_end {
                    true => end + before_end_tag(&rest[end..], &tag.name),
                    false => end,
                }
            }
            _ => {
                text.write("<");
                1
            }
        };
        rest = &rest[end..];
    }
    text.write(rest);
    text.written.trim_end().to_owned()
}

/// A start or end tag.
struct Tag<'a> {
    /// The name in lower case.
    name: String,
    is_end: bool,
    attributes: &'a str,
}

/// The text so far.
#[derive(Default)]
struct Text {
    written: String,
    /// Line feeds that come before the next character.
    lines: usize,
    /// Whether a space comes before the next character.
    has_space: bool,
    /// The target of the open link, and where its text begins.
    link: Option<(String, usize)>,
    /// The element that is not shown, and how many of its name are open.
    hidden: Option<(String, usize)>,
}

impl<'a> Tag<'a> {
    /// Reads a tag with its angle brackets.
    fn of(tag: &'a str) -> Self {
        let inner = tag.trim_start_matches('<').trim_end_matches('>');
        let is_end = inner.starts_with('/');
        let inner = inner.trim_start_matches('/');
        let end = inner
            .find(|c: char| c.is_ascii_whitespace() || c == '/')
            .unwrap_or(inner.len());
        let (name, attributes) = inner.split_at(end);
        Self {
            name: name.to_ascii_lowercase(),
            is_end,
            attributes,
        }
    }

    /// The value of an attribute, decoded.
    fn attribute(&self, wanted: &str) -> Option<String> {
        let mut rest = self.attributes;
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
            let end = rest
                .find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '/'))
                .unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            let after = after.trim_start();
            let Some(value) = after.strip_prefix('=') else {
                if name.is_empty() {
                    return None;
                }
                rest = after;
                continue;
            };
            let value = value.trim_start();
            let (value, after) = match value.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let value = &value[1..];
                    value.split_once(quote).unwrap_or((value, ""))
                }
                _ => {
                    let end = value.find(|c: char| c.is_ascii_whitespace());
                    value.split_at(end.unwrap_or(value.len()))
                }
            };
            if name.eq_ignore_ascii_case(wanted) {
                return Some(decoded(value));
            }
            rest = after;
        }
    }

    /// Whether the element is not shown, such as the preview of a mail.
    fn is_hidden(&self) -> bool {
        let style = self.attribute("style").unwrap_or_default();
        let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
        style.to_ascii_lowercase().contains("display:none")
    }
}

impl Text {
    /// Adds text between tags, in which white space is one space.
    fn write(&mut self, raw: &str) {
        if self.hidden.is_some() || raw.is_empty() {
            return;
        }
        for character in decoded(raw).chars() {
            // The invisible characters fill previews and wrap long words.
            if matches!(
                character,
                '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{feff}' | '\u{ad}'
            ) {
                continue;
            }
            match character.is_whitespace() {
                true => self.has_space = true,
                false => self.push(character),
            }
        }
    }

    fn push(&mut self, character: char) {
        if !self.written.is_empty() {
            if self.lines > 0 {
                self.written.extend(std::iter::repeat_n('\n', self.lines));
            } else if self.has_space {
                self.written.push(' ');
            }
        }
        (self.lines, self.has_space) = (0, false);
        self.written.push(character);
    }

    /// Ends the line, with as many line feeds as are asked for at least.
    fn end_line(&mut self, feeds: usize) {
        self.lines = self.lines.max(feeds);
    }

    fn tag(&mut self, tag: &Tag<'_>) {
        let name = tag.name.as_str();
        if let Some((hidden, open)) = &mut self.hidden {
            if hidden.as_str() == name {
                match tag.is_end {
                    true => *open -= 1,
                    false => *open += 1,
                }
            }
            if *open == 0 {
                self.hidden = None;
            }
            return;
        }
        if !tag.is_end && !VOID.contains(&name) && tag.is_hidden() {
            self.hidden = Some((name.to_owned(), 1));
            return;
        }
        if PARAGRAPHS.contains(&name) {
            self.end_line(2);
        } else if LINES.contains(&name) {
            self.end_line(1);
        }
        match (name, tag.is_end) {
            ("br", _) => self.lines = (self.lines + 1).min(2),
            ("hr", false) => {
                self.write("---");
                self.end_line(2);
            }
            ("li", false) => self.write("- "),
            ("td" | "th", _) => self.has_space = true,
            ("img", false) => self.write(&tag.attribute("alt").unwrap_or_default()),
            ("a", false) => {
                let target = tag.attribute("href").filter(|target| is_shown(target));
                self.link = target.map(|target| (target, self.written.len()));
            }
            ("a", true) => {
                if let Some((target, start)) = self.link.take() {
                    self.end_link(&target, start);
                }
            }
            _ => {}
        }
    }

    /// Adds the target of a link, unless the text of the link says it.
    fn end_link(&mut self, target: &str, start: usize) {
        let says_it = self
            .written
            .get(start..)
            .is_some_and(|text| text.contains(target));
        if says_it
            || target.strip_prefix("mailto:").is_some_and(|address| {
                self.written
                    .get(start..)
                    .is_some_and(|text| text.contains(address))
            })
        {
            return;
        }
        self.has_space = true;
        for character in format!("({target})").chars() {
            self.push(character);
        }
    }
}

/// Whether the target of a link helps a reader of plain text.
fn is_shown(target: &str) -> bool {
    ["https://", "http://", "mailto:", "tel:"]
        .iter()
        .any(|scheme| target.starts_with(scheme))
}

/// The length of the text up to and including `end`, or of all of it.
fn after(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |index| index + end.len())
}

/// The length of a tag. An angle bracket inside of quotes does not end it.
fn end_of_tag(text: &str) -> usize {
    let mut quote = None;
    for (index, byte) in text.bytes().enumerate() {
        match quote {
            Some(open) if byte == open => quote = None,
            Some(_) => {}
            None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
            None if byte == b'>' => return index + 1,
            None => {}
        }
    }
    text.len()
}

/// The length of the text before the end tag of an element, or of all of it.
fn before_end_tag(text: &str, name: &str) -> usize {
    let mut start = 0;
    while let Some(found) = text[start..].find("</") {
        let tag = start + found;
        let after = &text.as_bytes()[tag + 2..];
        if after
            .get(..name.len())
            .is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
        {
            return tag;
        }
        start = tag + 2;
    }
    text.len()
}

/// The text with its entities replaced. Unknown ones stay as they are.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('&') {
        decoded.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.bytes().take(MAX_ENTITY + 2).position(|byte| byte == b';');
        match end.and_then(|end| Some((entity(&rest[1..end])?, end + 1))) {
            Some((character, length)) => {
                decoded.push(character);
                rest = &rest[length..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

fn entity(name: &str) -> Option<char> {
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|character| !character.is_control() || *character == '\n');
    }
    Some(match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "shy" => '\u{ad}',
        "zwnj" => '\u{200c}',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "euro" => '€',
        "pound" => '£',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "bull" => '•',
        "middot" => '·',
        "laquo" => '«',
        "raquo" => '»',
        "lsquo" => '‘',
        "rsquo" => '’',
        "ldquo" => '“',
        "rdquo" => '”',
        "times" => '×',
        "auml" => 'ä',
        "ouml" => 'ö',
        "uuml" => 'ü',
        "Auml" => 'Ä',
        "Ouml" => 'Ö',
        "Uuml" => 'Ü',
        "szlig" => 'ß',
        "eacute" => 'é',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_lists_and_links_are_readable() {
        let html = "<!doctype html><html><head><title>No</title><style>p { a: b }</style></head><body>\n\
                    <h1>Thank  you,\n <b>Ada</b>!</h1><p>Your order&nbsp;7 is <i>paid</i>.<br>See \
                    <a href=\"https://shop.example.com/7?a=1&amp;b=2\">the order</a>.</p>\
                    <ul><li>1 &times; cup</li><li>2 &times; tea &amp; milk</li></ul>\
                    <img src=\"cid:logo\" alt='The shop'><script>no()</script></body></html>";
        assert_eq!(
            text_of(html),
            "Thank you, Ada!\n\nYour order 7 is paid.\nSee the order (https://shop.example.com/7?a=1&b=2).\n\n\
             - 1 × cup\n- 2 × tea & milk\n\nThe shop"
        );
    }

    #[test]
    fn rows_of_a_table_are_lines_and_hidden_parts_are_left_out() {
        let html = "<div style=\"display: none\"><div>preview</div> of it</div>\
                    <!--[if mso]><table><tr><td>no</td></tr></table><![endif]-->\
                    <table><tr><td>Cup</td><td>4.90</td></tr><tr><td>Tea</td><td>3.10</td></tr></table>";
        assert_eq!(text_of(html), "Cup 4.90\nTea 3.10");
    }

    #[test]
    fn a_link_that_says_its_target_is_not_repeated() {
        let link = |target: &str, text: &str| text_of(&format!("<a class=x href='{target}'>{text}</a>"));
        assert_eq!(
            link("https://a.example", "https://a.example"),
            "https://a.example"
        );
        assert_eq!(link("mailto:a@a.example", "a@a.example"), "a@a.example");
        assert_eq!(link("mailto:a@a.example", "write"), "write (mailto:a@a.example)");
        assert_eq!(link("#top", "top"), "top");
    }

    #[test]
    fn broken_markup_ends_somewhere() {
        for (html, wanted) in [
            ("1 < 2 & 3 > 2", "1 < 2 & 3 > 2"),
            ("a<b", "a"),
            ("a<!-- b", "a"),
            ("a<style>b", "a"),
            ("a<img alt=\"b", "ab"),
            ("a<p x= y>b", "a\n\nb"),
            ("&#65;&#x42;&#0;&unknown;&", "AB&#0;&unknown;&"),
            ("</p></p></div>a", "a"),
            ("é<ü>", "é<ü>"),
            ("", ""),
        ] {
            assert_eq!(text_of(html), wanted, "{html}");
        }
    }

    #[test]
    fn a_long_text_takes_one_pass() {
        let html = "<a href=x><style></style><!-- -->&".repeat(20_000);
        assert!(text_of(&html).len() <= html.len());
        assert_eq!(text_of(&"<".repeat(100_000)).len(), 100_000);
    }
}
