//! Tests that the functions return what SQLite's own functions return, and check the clock.

use std::time::Duration;

use mortise_sql::Author;
use rusqlite::Connection;
use rusqlite::types::Value;
use tokio::time::Instant;

use super::*;
use crate::sqlite::configure;

/// A reproducible random number generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap() % bound
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn bytes(&mut self) -> Vec<u8> {
        const PIECES: &[&[u8]] = &[
            b"a",
            b"b",
            b"ab",
            b"aab",
            b" ",
            b"  ",
            b"\0",
            b"0",
            b"1f",
            b"AB",
            b"-",
            "ä".as_bytes(),
            "ö".as_bytes(),
            "€".as_bytes(),
            "😀".as_bytes(),
            b"\xc3",
            b"\xa4",
            b"\x80",
            b"\xff",
            b"\xf8\x80",
            b"\xed\xa0\x80",
            b"\xc0\x80",
            b"\xef\xbf\xbe",
        ];
        let all = self.below(3) > 0;
        let pieces = if all { PIECES } else { &PIECES[..5] };
        (0..self.below(8))
            .flat_map(|_| self.one_of(pieces).to_vec())
            .collect()
    }

    fn value(&mut self) -> (Value, bool) {
        match self.below(12) {
            0 => (Value::Null, false),
            1 => (
                Value::Integer(self.one_of(&[0, 1, -1, 10, 101, i64::MAX, i64::MIN])),
                false,
            ),
            2 => (
                Value::Real(self.one_of(&[0.0, -1.5, 1e300, 101.0, 0.1, f64::INFINITY])),
                false,
            ),
            3 | 4 => (Value::Blob(self.bytes()), false),
            // Text of arbitrary bytes: a blob that the statement casts.
            _ => (Value::Blob(self.bytes()), true),
        }
    }

    fn json(&mut self, depth: usize) -> String {
        const SCALARS: &[&str] = &[
            "null",
            "true",
            "false",
            "0",
            "-1",
            "1.5e3",
            "12345678901234567890",
            "\"\"",
            "\"a\"",
            "\"\\u00e4\"",
            "\"ä\"",
            "\"\\\"\"",
            "\"\\n\"",
            "+7",
            "0x1F",
            ".5",
            "'x'",
            "Infinity",
            "NaN",
            "\"a,}]\"",
        ];
        const LABELS: &[&str] = &[
            "\"a\"",
            "\"b\"",
            "\"\"",
            "\"\\u0061\"",
            "\"ä\"",
            "\"\\u00e4\"",
            "\"\\\"\"",
            "\"\\ud83d\\ude00\"",
            "\"😀\"",
            "\"\\n\"",
            "\"\\u000a\"",
            "c",
            "'a'",
            "\"a}\"",
            "\"\\/\"",
            "\"/\"",
        ];
        let space = self.one_of(&["", "", " ", "\n"]);
        match self.below(if depth > 3 { 1 } else { 3 }) {
            0 => self.one_of(SCALARS).to_owned(),
            1 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.json(depth + 1)).collect();
                format!("[{space}{}{space}]", items.join(","))
            }
            _ => {
                let members: Vec<String> = (0..self.below(5))
                    .map(|_| format!("{}{space}:{}", self.one_of(LABELS), self.json(depth + 1)))
                    .collect();
                format!("{space}{{{}}}", members.join(","))
            }
        }
    }
}

fn plain() -> Connection {
    configure().unwrap();
    Connection::open_in_memory().unwrap()
}

fn replaced(watch: &Arc<Watch>) -> Connection {
    let connection = plain();
    replace_functions(&connection, watch).unwrap();
    connection
}

/// The result of a statement, or its error message.
fn ask(connection: &Connection, sql: &str, parameters: &[Value]) -> Result<(Value, String), String> {
    let row = connection.query_row(sql, rusqlite::params_from_iter(parameters), |row| {
        Ok((row.get(0)?, row.get(1)?))
    });
    row.map_err(|error| error.to_string())
}

#[test]
fn functions_on_text_answer_what_sqlites_own_answer() {
    let (plain, replaced) = (plain(), replaced(&Arc::new(Watch::new(Author::Plugin))));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen = std::collections::HashSet::new();
    let calls = FUNCTIONS
        .iter()
        .filter(|(name, ..)| !name.to_str().unwrap().contains("json"));
    let calls: Vec<_> = calls.collect();
    for round in 0..60_000 {
        let (name, count, _) = calls[round % calls.len()];
        let (mut values, mut terms) = (Vec::new(), Vec::new());
        for index in 1..=*count {
            let (value, is_text) = random.value();
            values.push(value);
            terms.push(if is_text {
                format!("CAST(?{index} AS TEXT)")
            } else {
                format!("?{index}")
            });
        }
        let call = format!("{}({})", name.to_str().unwrap(), terms.join(","));
        let sql = format!("SELECT CAST({call} AS BLOB), typeof({call})");
        let (wanted, found) = (ask(&plain, &sql, &values), ask(&replaced, &sql, &values));
        assert_eq!(wanted, found, "{sql} with {values:?}");
        if let Ok((Value::Blob(_) | Value::Integer(_), _)) = wanted {
            seen.insert(name);
        }
    }
    assert_eq!(
        seen.len(),
        calls
            .iter()
            .map(|(name, ..)| name)
            .collect::<std::collections::HashSet<_>>()
            .len()
    );
}

#[test]
fn patching_json_answers_what_sqlites_own_answers() {
    let (plain, replaced) = (plain(), replaced(&Arc::new(Watch::new(Author::Plugin))));
    let mut random = Random(0x1234_5678_9abc_def1);
    let mut objects = 0;
    for _ in 0..20_000 {
        let values = [random.json(0), random.json(0)].map(Value::Text);
        for sql in [
            "SELECT json_patch(?1, ?2), json_array(json_patch(?1, ?2))",
            "SELECT json(jsonb_patch(?1, ?2)), typeof(jsonb_patch(jsonb(?1), jsonb(?2)))",
        ] {
            let wanted = ask(&plain, sql, &values);
            assert_eq!(wanted, ask(&replaced, sql, &values), "{sql} with {values:?}");
            objects += usize::from(matches!(wanted, Ok((Value::Text(text), _)) if text.len() > 10));
        }
    }
    assert!(objects > 2_000, "{objects}");
    for values in [
        [Value::Null, Value::Text("{".into())],
        [Value::Text("{".into()), Value::Null],
        [Value::Text("{}".into()), Value::Text("{,}".into())],
        [
            Value::Text("1".into()),
            Value::Text("{\"a\":{\"b\":null}}".into()),
        ],
        [Value::Integer(1), Value::Real(2.5)],
        [Value::Blob(vec![0xff]), Value::Text("{}".into())],
    ] {
        let sql = "SELECT json_patch(?1, ?2), ''";
        assert_eq!(
            ask(&plain, sql, &values),
            ask(&replaced, sql, &values),
            "{values:?}"
        );
    }
}

#[test]
fn a_replaced_value_is_no_longer_than_values_may_be() {
    let replaced = replaced(&Arc::new(Watch::new(Author::Plugin)));
    replaced
        .set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_LENGTH, 1_000)
        .unwrap();
    let replace = |times: usize, by: usize| {
        let parameters = [Value::Text("a".repeat(times)), Value::Text("b".repeat(by))];
        ask(&replaced, "SELECT length(replace(?1, 'a', ?2)), ''", &parameters)
    };
    for (by, fits) in [(99, true), (100, true), (101, false)] {
        assert_eq!(replace(10, by).is_ok(), fits, "{by}: {:?}", replace(10, by));
    }
}

/// The CPU time of this thread.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Calls each function with slow arguments in every place in which it may occur.
#[test]
fn each_function_ends_when_its_time_is_over() {
    let watch = Arc::new(Watch::new(Author::Plugin));
    let connection = replaced(&watch);
    let text = Value::Text("b".repeat(500_000));
    let set = Value::Text(format!("{}b", "c".repeat(400_000)));
    let members = |letter: char| {
        let members: Vec<String> = (0..40_000)
            .map(|number| format!("\"{letter}{number}\":1"))
            .collect();
        Value::Text(format!("{{{}}}", members.join(",")))
    };
    for (call, parameters) in [
        ("trim(?1, ?2)", [text.clone(), set.clone()]),
        ("ltrim(?1, ?2)", [text.clone(), set.clone()]),
        ("rtrim(?1, ?2)", [text.clone(), set.clone()]),
        (
            "unhex(replace(?1, 'b', '-'), ?2 || '-')",
            [text.clone(), set.clone()],
        ),
        ("json_patch(?1, ?2)", [members('a'), members('b')]),
        ("jsonb_patch(?1, ?2)", [members('a'), members('b')]),
    ] {
        let allowed = Duration::from_millis(100);
        let (worked, began) = (thread_time(), Instant::now().into_std());
        watch.arm(began + allowed);
        let result = ask(&connection, &format!("SELECT {call}, ''"), &parameters);
        watch.disarm();
        // Measured as the thread's CPU time, so other load on the machine does not count.
        let late = (thread_time() - worked).saturating_sub(allowed);
        assert_eq!(result.unwrap_err(), "interrupted", "{call}");
        assert!(late < Duration::from_millis(50), "{call}: {late:?} late");
    }
    // Both are linear in their arguments, so they need no clock.
    let worked = thread_time();
    let needle = Value::Text(format!("{}a", "b".repeat(250_000)));
    ask(
        &connection,
        "SELECT instr(?1, ?2), replace(?1, ?2, 'x')",
        &[text, needle],
    )
    .unwrap();
    let worked = thread_time() - worked;
    assert!(worked < Duration::from_millis(500), "{worked:?}");
}
