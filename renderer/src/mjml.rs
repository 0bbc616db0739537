//! MJML, the markup from which the HTML part is made. Nothing is included or fetched.

use mrml::prelude::parser::Error;
use mrml::prelude::render::RenderOptions;

use crate::{Failure, MAX_MESSAGE_BYTES, Problem, shown};

/// Makes HTML from rendered MJML.
pub fn to_html(file: &str, source: &str) -> Result<String, Failure> {
    let parsed = mrml::parse(source).map_err(|error| {
        let Problem { line, message, .. } = problem(file, source, &error);
        let line = line.map_or_else(String::new, |line| {
            format!(", in line {line} of the rendered file")
        });
        Failure::Failed(format!("{file}: {message}{line}"))
    })?;
    let options = RenderOptions {
        disable_comments: true,
        // The default is a list of fonts that the reader's program would load from a third party.
        fonts: Default::default(),
        ..RenderOptions::default()
    };
    let html = parsed.element.render(&options);
    html.map_err(|error| Failure::Failed(format!("{file}: {error}")))
}

/// Checks the markup of a file without its values. Parts and files that extend another one are not
/// whole documents, so they are checked only when they are rendered.
pub fn check(file: &str, source: &str) -> Result<(), Problem> {
    let skeleton = Skeleton::of(source);
    if file.starts_with('_') || skeleton.extends {
        return Ok(());
    }
    let parsed = mrml::parse(&skeleton.markup);
    parsed
        .map(|_| ())
        .map_err(|error| problem(file, &skeleton.markup, &error))
}

fn problem(file: &str, source: &str, error: &Error) -> Problem {
    let position = match error {
        Error::UnexpectedElement { position, .. }
        | Error::UnexpectedToken { position, .. }
        | Error::MissingAttribute { position, .. }
        | Error::InvalidAttribute { position, .. }
        | Error::InvalidFormat { position, .. }
        | Error::IncludeLoaderError { position, .. } => Some(position.start),
        _ => None,
    };
    let line = position.map(|position| {
        let before = source.bytes().take(position);
        u32::try_from(before.filter(|byte| *byte == b'\n').count() + 1).unwrap_or(u32::MAX)
    });
    let text = match error {
        Error::IncludeLoaderError { .. } => {
            "mj-include is not supported; write {% include \"_part.mjml\" %}".to_owned()
        }
        error => error.to_string(),
    };
    let text = text.split(" in root template").next().unwrap_or_default();
    Problem {
        file: file.to_owned(),
        line,
        message: shown(&format!("invalid MJML: {text}"), MAX_MESSAGE_BYTES),
    }
}

/// The markup of a file without the tags of the template language. Lines keep their numbers.
struct Skeleton {
    markup: String,
    /// Whether the file extends another one.
    extends: bool,
}

impl Skeleton {
    fn of(source: &str) -> Self {
        let mut skeleton = Self {
            markup: String::with_capacity(source.len()),
            extends: false,
        };
        let mut is_in_element = false;
        let mut rest = source;
        while let Some(start) = rest.find('{') {
            let (literal, tag) = rest.split_at(start);
            for character in literal.chars() {
                match character {
                    '<' => is_in_element = true,
                    '>' => is_in_element = false,
                    _ => {}
                }
            }
            skeleton.markup.push_str(literal);
            let (end, is_value) = match tag.as_bytes().get(1) {
                Some(b'{') => (end_of(tag, "}}"), true),
                Some(b'%') => (end_of(tag, "%}"), false),
                Some(b'#') => (tag.find("#}").map_or(tag.len(), |end| end + 2), false),
                _ => {
                    skeleton.markup.push('{');
                    rest = &tag[1..];
                    continue;
                }
            };
            let (tag, after) = tag.split_at(end);
            let words = tag.trim_start_matches(['{', '%', '-', '+']).trim_start();
            skeleton.extends |= !is_value && words.starts_with("extends");
            if is_value && is_in_element {
                skeleton.markup.push('x');
            }
            skeleton
                .markup
                .extend(tag.chars().filter(|character| *character == '\n'));
            rest = after;
        }
        skeleton.markup.push_str(rest);
        skeleton
    }
}

/// The length of a tag up to and including `end`, which does not count inside of a string.
fn end_of(tag: &str, end: &str) -> usize {
    let mut quote = None;
    let mut is_escaped = false;
    for (index, character) in tag.char_indices() {
        match quote {
            Some(_) if is_escaped => is_escaped = false,
            Some(_) if character == '\\' => is_escaped = true,
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if matches!(character, '"' | '\'') => quote = Some(character),
            None if tag[index..].starts_with(end) => return index + end.len(),
            None => {}
        }
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skeleton_has_the_markup_and_the_lines_of_the_file() {
        let skeleton = Skeleton::of("<a b=\"{{ c }}\">\n{% if d ==\n '%}' %}{e}{# f\n #}{{ g }}</a>");
        assert_eq!(skeleton.markup, "<a b=\"x\">\n\n{e}\n</a>");
        assert!(!skeleton.extends);
        assert!(Skeleton::of("{%- extends \"_layout.mjml\" %}").extends);
        assert_eq!(Skeleton::of("{{ open").markup, "");
        assert_eq!(Skeleton::of("a{").markup, "a{");
    }

    #[test]
    fn wrong_markup_is_found_with_its_line() {
        let good = "<mjml>\n<mj-body>\n{% if a %}<mj-section><mj-column><mj-text>{{ a }}</mj-text>\
                    </mj-column></mj-section>{% endif %}\n</mj-body>\n</mjml>";
        assert_eq!(check("paid.mjml", good), Ok(()));
        let wrong = "<mjml>\n<mj-head>\n<mj-other></mj-other>\n</mj-head>\n<mj-body></mj-body>\n</mjml>";
        let problem = check("paid.mjml", wrong).unwrap_err();
        assert_eq!(
            (problem.file.as_str(), problem.line),
            ("paid.mjml", Some(3)),
            "{problem}"
        );
        assert!(problem.message.starts_with("invalid MJML: "), "{problem}");
        assert_eq!(check("_part.mjml", wrong), Ok(()));
        assert_eq!(check("paid.mjml", "{% extends '_a.mjml' %}"), Ok(()));
    }

    #[test]
    fn nothing_is_included() {
        let source = "<mjml><mj-body><mj-include path=\"https://example.com/a.mjml\" /></mj-body></mjml>";
        let Err(Failure::Failed(error)) = to_html("paid.mjml", source) else {
            panic!("it was included");
        };
        assert!(error.contains("mj-include is not supported"), "{error}");
    }
}
