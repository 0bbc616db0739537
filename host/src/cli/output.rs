//! Output of the command line. No other module writes to the terminal.

use std::fmt::Display;
use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;

use super::CliError;

/// A column of a table: the title, and the text for an item.
pub type Column<T> = (&'static str, fn(&T) -> String);

/// Columns for items of one type. Each has a title and the member that it shows.
macro_rules! columns {
    ($item:ty: $($title:literal => $($member:ident).+),+ $(,)?) => {
        [$((
            $title,
            (|item: &$item| $crate::cli::output::shown(&item.$($member).+)) as fn(&$item) -> String,
        )),+]
    };
}

pub(super) use columns;

/// Writes results and messages, as text or as JSON.
pub struct Output {
    json: bool,
    answers: Box<dyn Write>,
    news: Box<dyn Write>,
}

impl Output {
    /// Results go to standard output, messages to standard error.
    pub fn standard(json: bool) -> Self {
        Self {
            json,
            answers: Box::new(io::stdout()),
            news: Box::new(io::stderr()),
        }
    }

    /// Whether results are written as JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Writes a message about what happens.
    pub fn news(&mut self, text: impl Display) {
        // If standard error is closed, the message is lost.
        let _ = writeln!(self.news, "{text}");
    }

    /// Writes an error and its hint; with `--json`, as one line of JSON.
    pub fn error(&mut self, error: &CliError) {
        if self.json {
            return self.news(error.to_json());
        }
        self.news(format_args!("error: {error}"));
        if let Some(hint) = error.hint() {
            self.news(format_args!("hint: {hint}"));
        }
    }

    /// Writes a line of the result for people; nothing with `--json`.
    pub fn line(&mut self, text: impl Display) -> Result<(), CliError> {
        if !self.json {
            writeln!(self.answers, "{text}")?;
        }
        Ok(())
    }

    /// Writes a record of a stream: one line of JSON, or one line for people.
    pub fn record(&mut self, value: &impl Serialize, text: impl Display) -> Result<(), CliError> {
        if self.json {
            writeln!(self.answers, "{}", json(value)?)?
        } else {
            writeln!(self.answers, "{text}")?
        }
        self.answers.flush()?;
        Ok(())
    }

    /// Writes an object as JSON, or as one aligned line per member. Nested members have a dot in
    /// their names.
    pub fn object(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        match json(value)? {
            Value::Object(members) if !self.json && members.is_empty() => {
                self.news("nothing there");
                Ok(())
            }
            Value::Object(members) if !self.json => {
                let mut rows = Vec::new();
                for (name, value) in &members {
                    add_rows(&mut rows, &printable(name), value);
                }
                write!(self.answers, "{}", aligned(&rows))?;
                Ok(())
            }
            value => self.data(&value),
        }
    }

    /// Writes a list as JSON, or as a table with these columns.
    pub fn table<T: Serialize>(&mut self, items: &[T], columns: &[Column<T>]) -> Result<(), CliError> {
        if self.json {
            return self.data(&items);
        }
        if items.is_empty() {
            self.news("no entries");
            return Ok(());
        }
        let mut rows = vec![
            columns
                .iter()
                .map(|(title, _)| (*title).to_owned())
                .collect::<Vec<_>>(),
        ];
        rows.extend(
            items
                .iter()
                .map(|item| columns.iter().map(|(_, shown)| shown(item)).collect()),
        );
        write!(self.answers, "{}", aligned(&rows))?;
        Ok(())
    }

    /// Writes text, also with `--json`, such as a script.
    pub fn text(&mut self, text: &str) -> Result<(), CliError> {
        write!(self.answers, "{text}")?;
        Ok(())
    }

    /// Copies lines of a stream as they are, also with `--json`.
    pub fn copy(&mut self, mut lines: impl io::Read) -> Result<(), CliError> {
        io::copy(&mut lines, &mut self.answers)?;
        self.answers.flush()?;
        Ok(())
    }

    /// Writes JSON, also without `--json`.
    pub fn data(&mut self, value: &impl Serialize) -> Result<(), CliError> {
        writeln!(self.answers, "{:#}", json(value)?)?;
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Result<Value, CliError> {
    serde_json::to_value(value).map_err(|error| CliError::failed(error.to_string(), ""))
}

/// A value as the text of a table cell.
pub fn shown(value: &impl Serialize) -> String {
    serde_json::to_value(value).map_or_else(|error| error.to_string(), |value| cell(&value))
}

/// Adds a row for a member, or a row for each of its own members.
fn add_rows(rows: &mut Vec<Vec<String>>, name: &str, value: &Value) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (member, value) in members {
                add_rows(rows, &format!("{name}.{}", printable(member)), value);
            }
        }
        value => rows.push(vec![name.to_owned(), cell(value)]),
    }
}

/// A value on one line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => printable(text),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Object(members) if members.is_empty() => "-".to_owned(),
        Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

/// Replaces control characters, so that a customer's text cannot control the operator's terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell: &String| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or_default())
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Item {
        name: String,
        plan: Option<String>,
        usage: Usage,
    }

    #[derive(Serialize)]
    struct Usage {
        cpu_us: u64,
    }

    fn item(name: &str, plan: Option<&str>, cpu_us: u64) -> Item {
        Item {
            name: name.to_owned(),
            plan: plan.map(str::to_owned),
            usage: Usage { cpu_us },
        }
    }

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn captured(json: bool, write: impl FnOnce(&mut Output) -> Result<(), CliError>) -> String {
        let answers = Captured::default();
        let mut output = Output {
            json,
            answers: Box::new(answers.clone()),
            news: Box::new(io::sink()),
        };
        write(&mut output).unwrap();
        drop(output);
        String::from_utf8(answers.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_table_is_aligned_and_has_no_blanks_at_the_ends() {
        let items = [item("demo", None, 7), item("müller-söhne", Some("large"), 8)];
        let columns = columns!(Item: "NAME" => name, "PLAN" => plan);
        let text = captured(false, |output| output.table(&items, &columns));
        assert_eq!(text, "NAME          PLAN\ndemo          -\nmüller-söhne  large\n");
    }

    #[test]
    fn a_column_may_show_a_member_of_a_member() {
        let columns = columns!(Item: "NAME" => name, "CPU_US" => usage.cpu_us);
        let text = captured(false, |output| output.table(&[item("a", None, 7)], &columns));
        assert_eq!(text, "NAME  CPU_US\na     7\n");
    }

    #[test]
    fn json_is_the_whole_of_each_item() {
        let columns = columns!(Item: "NAME" => name);
        let text = captured(true, |output| output.table(&[item("demo", None, 7)], &columns));
        assert_eq!(
            serde_json::from_str::<Value>(&text).unwrap(),
            json!([{"name": "demo", "plan": null, "usage": {"cpu_us": 7}}])
        );
        assert_eq!(captured(true, |output| output.table(&[], &columns)), "[]\n");
    }

    #[test]
    fn an_object_is_one_line_per_member() {
        let text = captured(false, |output| {
            output.object(&json!({"created_at": "now", "scopes": ["a", "b"]}))
        });
        assert_eq!(text, "created_at  now\nscopes      a,b\n");
    }

    #[test]
    fn names_of_data_are_printed_as_they_are() {
        let text = captured(false, |output| {
            output.object(
                &json!({"chat_url": "https://x_y", "Bad Key": "1", "health": {"state": "ok", "routes": []}}),
            )
        });
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "Bad Key        1",
                "chat_url       https://x_y",
                "health.routes  -",
                "health.state   ok",
            ]
        );
    }

    #[test]
    fn customers_do_not_steer_the_terminal() {
        let text = captured(false, |output| output.object(&json!({"name": "a\u{1b}[2Jb\nc"})));
        assert!(!text.contains('\u{1b}') && text.lines().count() == 1, "{text:?}");
    }
}
