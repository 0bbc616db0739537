//! The text of a mail that has only HTML: its words without markup, for readers and filters that do
//! not show HTML.

/// Elements whose content is not text.
const SILENT: [&str; 4] = ["head", "script", "style", "title"];

/// Elements that begin a new line.
const LINES: [&str; 17] = [
    "address", "article", "blockquote", "br", "div", "footer", "h1", "h2", "h3", "h4", "header", "hr", "li", "p",
    "section", "table", "tr",
];

/// The text of an HTML document. It takes time in proportion to the length, whatever the guest
/// sends.
pub(super) fn of_html(html: &str) -> String {
    let mut text = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        push_words(&mut text, &rest[..start]);
        rest = &rest[start..];
        if let Some(after) = rest.strip_prefix("<!--") {
            rest = after.find("-->").map_or("", |end| &after[end + 3..]);
            continue;
        }
        let Some(end) = rest.find('>') else {
            rest = "";
            break;
        };
        let tag = &rest[1..end];
        rest = &rest[end + 1..];
        let is_end = tag.starts_with('/');
        let name: String = tag
            .trim_start_matches('/')
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect();
        if LINES.contains(&name.as_str()) {
            break_line(&mut text);
        } else if matches!(name.as_str(), "td" | "th") && !text.is_empty() && !text.ends_with([' ', '\n']) {
            text.push(' ');
        }
        if !is_end && SILENT.contains(&name.as_str()) && !tag.ends_with('/') {
            rest = after_end_of(&name, rest);
        }
    }
    push_words(&mut text, rest);
    text.trim().to_owned()
}

/// What follows the end of a silent element. Such elements do not contain each other.
fn after_end_of<'a>(name: &str, rest: &'a str) -> &'a str {
    let mut from = 0;
    while let Some(start) = rest[from..].find("</").map(|found| from + found) {
        let tail = &rest[start + 2..];
        let is_it = tail.len() >= name.len()
            && tail.is_char_boundary(name.len())
            && tail[..name.len()].eq_ignore_ascii_case(name);
        if is_it {
            return tail.find('>').map_or("", |end| &tail[end + 1..]);
        }
        from = start + 2;
    }
    ""
}

fn break_line(text: &mut String) {
    while text.ends_with(' ') {
        text.pop();
    }
    if !text.is_empty() && !text.ends_with("\n\n") {
        text.push('\n');
    }
}

/// Adds words with single blanks between them. A reference to a character stands for it.
fn push_words(text: &mut String, markup: &str) {
    let mut rest = markup;
    while let Some(c) = rest.chars().next() {
        let (c, length) = match c {
            '&' => reference(rest),
            c => (c, c.len_utf8()),
        };
        rest = &rest[length..];
        match c.is_whitespace() || c.is_control() {
            true if text.is_empty() || text.ends_with([' ', '\n']) => {}
            true => text.push(' '),
            false => text.push(c),
        }
    }
}

/// The character of a reference at the begin of `text`, and how many bytes it takes.
fn reference(text: &str) -> (char, usize) {
    const NAMED: [(&str, char); 8] = [
        ("&amp;", '&'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&quot;", '"'),
        ("&apos;", '\''),
        ("&nbsp;", ' '),
        ("&ndash;", '–'),
        ("&euro;", '€'),
    ];
    if let Some((name, c)) = NAMED.iter().find(|(name, _)| text.starts_with(name)) {
        return (*c, name.len());
    }
    let number = text.strip_prefix("&#").and_then(|number| {
        let end = number.bytes().take(8).position(|byte| byte == b';')?;
        let digits = &number[..end];
        let code = match digits.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok()?,
            None => digits.parse().ok()?,
        };
        Some((char::from_u32(code)?, end + 3))
    });
    number.unwrap_or(('&', 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_becomes_its_words() {
        let html = "<!DOCTYPE html><html><head><title>No</title><style>p { color: red }</style></head>\
            <body><!-- no --><h1>Order  42</h1><p>Thanks,\n Ada &amp; co. &#8364;5 &#x41;</p>\
            <table><tr><td>Tea</td><td>2</td></tr></table><script>no()</script>Bye<br>now</body></html>";
        assert_eq!(of_html(html), "Order 42\n\nThanks, Ada & co. €5 A\n\nTea 2\n\nBye\nnow");
    }

    #[test]
    fn wrong_markup_is_read_to_its_end() {
        for (html, wanted) in [
            ("", ""),
            ("a < b", "a"),
            ("a <b", "a"),
            ("<script>never ended", ""),
            ("<!-- never ended", ""),
            ("&unknown; &#xffffffff; &", "&unknown; &#xffffffff; &"),
            ("<style></stÿle>x</STYLE>y", "y"),
            ("<p/>a<p>", "a"),
        ] {
            assert_eq!(of_html(html), wanted, "{html}");
        }
    }
}
