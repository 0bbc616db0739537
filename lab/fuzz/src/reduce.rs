//! Reduces a failing input while it still fails (delta debugging).

use serde_json::Value;

use crate::input::{Input, Part, Run};

/// Larger texts are not reduced as JSON, because each try costs a run of the host.
const JSON_BYTES: usize = 64 << 10;

/// Removes unneeded parts of `inputs`. `fails` tells whether the rest still fails; it is called at
/// most `tries` times.
pub fn reduce(inputs: Vec<Input>, tries: usize, mut fails: impl FnMut(&[Input]) -> bool) -> Vec<Input> {
    let mut left = tries;
    let mut ask = |inputs: &[Input]| {
        left > 0 && {
            left -= 1;
            fails(inputs)
        }
    };
    let mut inputs = without(inputs, &mut ask);
    for at in 0..inputs.len() {
        let parts = inputs[at].parts.clone();
        inputs[at].parts = without(parts, |parts| ask(&with_parts(&inputs, at, parts)));
        for part in 0..inputs[at].parts.len() {
            let runs = inputs[at].parts[part].runs.clone();
            let runs = without(runs, |runs| ask(&with_runs(&inputs, at, part, runs)));
            inputs[at].parts[part].runs = runs;
            for run in 0..inputs[at].parts[part].runs.len() {
                let smaller = shrink(&inputs[at].parts[part].runs[run], |smaller| {
                    let mut runs = inputs[at].parts[part].runs.clone();
                    runs[run] = smaller.clone();
                    ask(&with_runs(&inputs, at, part, &runs))
                });
                inputs[at].parts[part].runs[run] = smaller;
            }
        }
    }
    inputs
}

fn with_parts(inputs: &[Input], at: usize, parts: &[Part]) -> Vec<Input> {
    let mut inputs = inputs.to_vec();
    inputs[at].parts = parts.to_vec();
    inputs
}

fn with_runs(inputs: &[Input], at: usize, part: usize, runs: &[Run]) -> Vec<Input> {
    let mut inputs = inputs.to_vec();
    inputs[at].parts[part].runs = runs.to_vec();
    inputs
}

/// Removes chunks of `items`, halves first, as long as the rest fails.
fn without<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut chunk = items.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < items.len() {
            let end = (at + chunk).min(items.len());
            let rest = [&items[..at], &items[end..]].concat();
            if items.len() > 1 && fails(&rest) {
                items = rest;
            } else {
                at = end;
            }
        }
        chunk /= 2;
    }
    items
}

/// Returns a smaller run that still fails, or the same run.
fn shrink(run: &Run, mut fails: impl FnMut(&Run) -> bool) -> Run {
    match run {
        Run::Times { times, text } => {
            let of = |times| Run::Times {
                times,
                text: text.clone(),
            };
            // Bisects the least number of repetitions that fails.
            let (mut holds, mut breaks) = (0, *times);
            while breaks - holds > 1 + breaks / 16 {
                let middle = holds.midpoint(breaks);
                match fails(&of(middle)) {
                    true => breaks = middle,
                    false => holds = middle,
                }
            }
            of(breaks)
        }
        Run::Text(text) if text.len() <= JSON_BYTES && serde_json::from_str::<Value>(text).is_ok() => {
            let value = serde_json::from_str(text).unwrap_or_default();
            let value = shrink_json(value, &mut |value| fails(&Run::Text(value.to_string())));
            Run::Text(value.to_string())
        }
        Run::Text(text) => {
            let lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
            let lines = without(lines, |lines| fails(&Run::Text(lines.concat())));
            let characters: Vec<char> = lines.concat().chars().collect();
            let characters = without(characters, |characters| {
                fails(&Run::Text(characters.iter().collect()))
            });
            Run::Text(characters.into_iter().collect())
        }
        Run::Bytes { .. } => {
            let bytes = without(run.content(), |bytes| fails(&Run::from_bytes(bytes)));
            Run::from_bytes(&bytes)
        }
    }
}

/// Removes members and elements, and replaces parents by their children.
fn shrink_json(mut value: Value, fails: &mut dyn FnMut(&Value) -> bool) -> Value {
    loop {
        let smaller = children(&value).into_iter().find(|child| fails(child));
        match smaller {
            Some(smaller) => value = smaller,
            None => return value,
        }
    }
}

/// Values that are one step smaller, the smallest first.
fn children(value: &Value) -> Vec<Value> {
    let mut smaller = Vec::new();
    match value {
        Value::Object(members) => {
            smaller.extend(members.values().cloned());
            for (name, member) in members {
                let mut rest = members.clone();
                rest.remove(name);
                smaller.push(Value::Object(rest));
                for child in children(member) {
                    let mut changed = members.clone();
                    changed.insert(name.clone(), child);
                    smaller.push(Value::Object(changed));
                }
            }
        }
        Value::Array(items) => {
            smaller.extend(items.iter().cloned());
            for at in 0..items.len() {
                let mut rest = items.clone();
                rest.remove(at);
                smaller.push(Value::Array(rest));
                for child in children(&items[at]) {
                    let mut changed = items.clone();
                    changed[at] = child;
                    smaller.push(Value::Array(changed));
                }
            }
        }
        Value::String(text) if text.len() > 1 => {
            let half = text.floor_char_boundary(text.len() / 2);
            smaller.push(Value::String(text[..half].to_owned()));
        }
        _ => {}
    }
    smaller.sort_by_key(|value| value.to_string().len());
    smaller
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(parts: Vec<Part>) -> Input {
        Input {
            kind: "k".to_owned(),
            parts,
        }
    }

    #[test]
    fn what_is_not_needed_goes() {
        let parts = |count: usize| -> Vec<Part> {
            (0..count)
                .map(|index| Part::new("p").text(format!("line {index}\nneeded {index}\n")))
                .collect()
        };
        let inputs = vec![input(parts(3)), input(parts(9)), input(parts(2))];
        let reduced = reduce(inputs, 10_000, |inputs| {
            inputs
                .iter()
                .flat_map(|input| &input.parts)
                .any(|part| part.to_text().contains("needed 7"))
        });
        assert_eq!(reduced, [input(vec![Part::new("p").text("needed 7")])]);
    }

    #[test]
    fn repetitions_become_few() {
        let inputs = vec![input(vec![Part::new("p").text("a").times(8_000, "b")])];
        let reduced = reduce(inputs, 10_000, |inputs| {
            inputs[0].parts[0].content().len() > 3_000
        });
        let Run::Times { times, .. } = reduced[0].parts[0].runs[0] else {
            panic!("{reduced:?}");
        };
        assert!((3_001..3_400).contains(&times), "{times}");
    }

    #[test]
    fn json_keeps_its_form() {
        let schema = r#"{"type":"object","properties":{"a":{"anyOf":[{"pattern":"x+"},true]},"b":{}}}"#;
        let inputs = vec![input(vec![Part::new("schema").text(schema)])];
        let reduced = reduce(inputs, 10_000, |inputs| {
            let text = inputs[0].parts[0].to_text();
            serde_json::from_str::<Value>(&text).is_ok() && text.contains("pattern")
        });
        assert_eq!(reduced[0].parts[0].to_text(), r#"{"pattern":"x"}"#);
    }

    #[test]
    fn the_number_of_tries_is_bounded() {
        let mut asked = 0;
        let inputs = vec![input(vec![Part::new("p").text("x".repeat(1_000))])];
        let same = reduce(inputs.clone(), 25, |_| {
            asked += 1;
            false
        });
        assert_eq!((asked, same), (25, inputs));
    }
}
