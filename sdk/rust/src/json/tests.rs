//! Tests of both passes.

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;
use serde_json::Value;

use super::from_slice;

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    from_slice(text.as_bytes())
}

#[derive(Debug, PartialEq, Deserialize)]
struct Order {
    id: i64,
    lines: Vec<Line>,
    note: Option<u8>,
    #[serde(flatten)]
    totals: Totals,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Line(u32, f64);

#[derive(Debug, PartialEq, Deserialize)]
struct Totals {
    total: u64,
    weight: f64,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Add(i64),
    Move { from: u16, to: u16 },
    Pair(u8, u8),
    Clear,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Tagged {
    Sized { size: u32 },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number { n: i32 },
    Text(String),
}

#[test]
fn an_integer_may_be_written_with_a_fraction_of_zero_or_an_exponent() {
    for (text, expected) in [
        ("5.0", 5),
        ("5e0", 5),
        ("-5.00", -5),
        ("1.5e1", 15),
        ("-0.0", 0),
        ("-0", 0),
    ] {
        assert_eq!(read::<i64>(text), Ok(expected), "{text}");
    }
    assert_eq!(read::<u8>("255.0"), Ok(255));
    assert_eq!(read::<i64>("9007199254740992.0"), Ok(1 << 53));
    for text in ["5.5", "1e300", "9007199254740994.0", "\"5\"", "true", "null"] {
        assert!(read::<i64>(text).is_err(), "{text}");
    }
    for text in ["256.0", "-1.0"] {
        assert!(read::<u8>(text).is_err(), "{text}");
    }
}

#[test]
fn it_may_stand_at_any_depth() {
    let order = read::<Order>(
        r#"{"id": 7.0, "lines": [[1.0, 2], [2, 0.5]], "note": 3.0, "total": 10.0, "weight": 2.0, "more": [1.5, 2.0]}"#,
    );
    let expected = Order {
        id: 7,
        lines: vec![Line(1, 2.0), Line(2, 0.5)],
        note: Some(3),
        totals: Totals {
            total: 10,
            weight: 2.0,
        },
        rest: [("more".to_owned(), serde_json::json!([1.5, 2]))].into(),
    };
    assert_eq!(order, Ok(expected));
}

#[test]
fn it_may_stand_in_enums_and_maps() {
    for (text, expected) in [
        (r#"{"add": 1.0}"#, Action::Add(1)),
        (
            r#"{"move": {"from": 1.0, "to": 2.0}}"#,
            Action::Move { from: 1, to: 2 },
        ),
        (r#"{"pair": [1.0, 2.0]}"#, Action::Pair(1, 2)),
        (r#""clear""#, Action::Clear),
    ] {
        assert_eq!(read::<Action>(text), Ok(expected), "{text}");
    }
    assert_eq!(
        read(r#"{"size": 4.0, "kind": "sized"}"#),
        Ok(Tagged::Sized { size: 4 })
    );
    assert_eq!(read(r#"{"n": 4.0}"#), Ok(Untagged::Number { n: 4 }));
    assert_eq!(read(r#""four""#), Ok(Untagged::Text("four".to_owned())));
    let map: HashMap<u32, i64> = [(7, 1), (8, 2)].into();
    assert_eq!(read(r#"{"7": 1.0, "8": 2}"#), Ok(map));
    assert_eq!(read(r#"[[1.0, "a"], [2.0, "b"]]"#), Ok(vec![(1, 'a'), (2, 'b')]));
}

#[test]
fn what_is_right_at_first_is_read_as_it_is() {
    assert_eq!(read::<Value>("5.0"), Ok(serde_json::json!(5.0)));
    assert_eq!(read::<f64>("5.0"), Ok(5.0));
    assert_eq!(
        read::<Box<serde_json::value::RawValue>>("5.0").map(|raw| raw.get().to_owned()),
        Ok("5.0".into())
    );
}

#[test]
fn an_error_names_the_pointer_the_line_and_the_column() {
    let error = read::<Vec<Order>>("[\n{\"id\": 1, \"lines\": [[1, 2], [\"x\", 2]]}]").unwrap_err();
    assert_eq!(
        error,
        "at `/0/lines/1/0`: invalid type: string \"x\", expected u32 at line 2 column 32"
    );
    let error = read::<HashMap<String, u8>>(r#"{"a/b~": 256}"#).unwrap_err();
    assert!(
        error.starts_with("at `/a~1b~0`: invalid value: integer `256`, expected u8 at line 1"),
        "{error}"
    );
    let error = read::<Tagged>(r#"{"kind": "sized"}"#).unwrap_err();
    assert!(error.contains("missing field `size`"), "{error}");
    let error = read::<i64>("\"x\"").unwrap_err();
    assert!(error.starts_with("invalid type"), "{error}");
}

#[test]
fn what_is_no_json_is_named_by_its_place() {
    assert_eq!(
        read::<i64>("5 5").unwrap_err(),
        "trailing characters at line 1 column 3"
    );
    assert_eq!(
        read::<Vec<u8>>("[1, 2, x]").unwrap_err(),
        "expected value at line 1 column 8"
    );
    // A value with two errors reports the first one.
    assert!(
        read::<Vec<u8>>("[\"a\", x]")
            .unwrap_err()
            .starts_with("at `/0`: ")
    );
}

#[test]
fn a_byte_order_mark_is_left_out() {
    assert_eq!(from_slice::<Vec<i64>>(b"\xef\xbb\xbf[1.0]"), Ok(vec![1]));
    assert!(from_slice::<Value>(b"[\xef\xbb\xbf]").is_err());
}

#[test]
fn depth_is_bounded_in_both_readings() {
    #[derive(Debug, Deserialize)]
    struct Node {
        #[expect(dead_code, reason = "only its depth matters")]
        size: i64,
        #[expect(dead_code, reason = "only its depth matters")]
        next: Option<Box<Node>>,
    }
    let nested = |depth: usize| {
        let open = "{\"size\": 1.0, \"next\": ".repeat(depth);
        format!("{open}null{}", "}".repeat(depth))
    };
    assert!(read::<Node>(&nested(100)).is_ok());
    assert!(
        read::<Node>(&nested(1_000))
            .unwrap_err()
            .contains("recursion limit")
    );
}

/// Without the feature `float_roundtrip`, every tenth float is parsed as its neighbour.
#[test]
fn floats_survive_bit_by_bit() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..100_000 {
        let float = f64::from_bits(next());
        if !float.is_finite() {
            continue;
        }
        let text = serde_json::to_string(&float).unwrap();
        assert_eq!(
            read::<f64>(&text).map(f64::to_bits),
            Ok(float.to_bits()),
            "{text}"
        );
        let value = serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(value.as_f64().map(f64::to_bits), Some(float.to_bits()), "{text}");
    }
}
