//! The component's exports, which the host calls inside a sandbox.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Formats, Schema};

wit_bindgen::generate!({ path: "wit", world: "validator" });

struct Component;

#[derive(Default)]
struct State {
    schemas: BTreeMap<u32, Schema>,
    /// The last body that did not match, and the length of its text.
    mismatched: Option<(Value, usize)>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

impl Guest for Component {
    fn load(index: u32, schema: String, assert_formats: bool) -> Result<(), String> {
        let formats = match assert_formats {
            true => Formats::Asserted,
            false => Formats::ByDraft,
        };
        let schema = Schema::compile(&schema, formats)?;
        STATE.with_borrow_mut(|state| state.schemas.insert(index, schema));
        Ok(())
    }

    fn check(index: u32, body: Vec<u8>) -> Verdict {
        STATE.with_borrow_mut(|state| {
            state.mismatched = None;
            let value = match serde_json::from_slice(&body) {
                Ok(value) => value,
                Err(error) => return Verdict::NotJson(error.to_string()),
            };
            if state.schemas[&index].is_valid(&value) {
                return Verdict::Valid;
            }
            state.mismatched = Some((value, body.len()));
            Verdict::Invalid
        })
    }

    fn explain(index: u32) -> Vec<Mismatch> {
        STATE.with_borrow_mut(|state| {
            let Some((body, bytes)) = state.mismatched.take() else {
                return Vec::new();
            };
            let mismatches = state.schemas[&index].mismatches(&body, bytes);
            let lowered = mismatches.into_iter().map(|mismatch| Mismatch {
                pointer: mismatch.pointer,
                detail: mismatch.detail,
            });
            lowered.collect()
        })
    }
}

export!(Component);
