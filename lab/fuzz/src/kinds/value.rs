//! Generates random JSON values.

use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// Member names that schemas and bodies share, so that they refer to each other.
pub const NAMES: [&str; 8] = ["a", "b", "c", "id", "name", "items", "größe", "~/x"];

/// A random value, nested at most `depth` deep.
pub fn value(chance: &mut Chance, depth: usize) -> Value {
    match chance.below(if depth == 0 { 6 } else { 9 }) {
        0 => Value::Null,
        1 => json!(chance.odds(1, 2)),
        2 => number(chance),
        3 | 4 => json!(chance.text(30)),
        5 => json!(chance.below(5)),
        6 | 7 => {
            let count = chance.size(6);
            (0..count).map(|_| value(chance, depth - 1)).collect()
        }
        _ => {
            let count = chance.below(5);
            let members = (0..count).map(|_| (name(chance), value(chance, depth - 1)));
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// A number, often an extreme one.
pub fn number(chance: &mut Chance) -> Value {
    const ODD: [f64; 8] = [0.1, -0.0, 1e308, -1e308, 5e-324, 1e15, 0.5, 3.0];
    match chance.below(4) {
        0 => json!(chance.below(100)),
        1 => json!(chance.number()),
        2 => json!(i64::MIN),
        _ => json!(ODD[chance.below(ODD.len())]),
    }
}

/// The name of a member.
pub fn name(chance: &mut Chance) -> String {
    chance.pick(&NAMES).to_owned()
}
