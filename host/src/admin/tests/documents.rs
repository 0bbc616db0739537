//! Tests that the examples in the documents match the API.
//!
//! A block `http` is sent as it is: the first line is the method and the path, and the body follows
//! the empty line. The next block `json` must be contained in the answer; `…` stands for any text.

use serde_json::Value;

use super::TestApp;

/// The fenced blocks of a document, with their languages.
fn blocks(document: &str) -> Vec<(&str, String)> {
    let (mut found, mut open) = (Vec::new(), None::<(&str, String)>);
    for line in document.lines() {
        open = match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => Some((language, String::new())),
            (Some(_), Some(block)) => {
                found.push(block);
                None
            }
            (None, Some((language, text))) => Some((language, format!("{text}{line}\n"))),
            (None, None) => None,
        };
    }
    found
}

/// Whether an answer holds what the document shows.
fn holds(answer: &Value, shown: &Value) -> bool {
    match (answer, shown) {
        (_, Value::String(text)) if text == "…" => answer.is_string(),
        (Value::Object(answer), Value::Object(shown)) => shown
            .iter()
            .all(|(name, shown)| answer.get(name).is_some_and(|answer| holds(answer, shown))),
        (Value::Array(answer), Value::Array(shown)) => {
            shown.len() <= answer.len()
                && shown
                    .iter()
                    .zip(answer)
                    .all(|(shown, answer)| holds(answer, shown))
        }
        (answer, shown) => answer == shown,
    }
}

async fn tried(document: &str) -> usize {
    let app = TestApp::start().await;
    let operator = app.operator().await;
    let (mut tried, mut answer) = (0, None);
    for (language, text) in blocks(document) {
        match language {
            "http" => {
                let (head, body) = text.split_once('\n').unwrap();
                let (method, path) = head.split_once(' ').unwrap();
                let body = (!body.trim().is_empty()).then(|| serde_json::from_str(body).unwrap());
                let answered = app.call(&operator, method, path, body).await;
                assert!(answered.status.is_success(), "{head}: {}", answered.problem());
                answer = Some((head.to_owned(), answered.body));
                tried += 1;
            }
            "json" => {
                // A block without a request before it is not an answer.
                let Some((head, answer)) = answer.take() else {
                    continue;
                };
                let shown: Value = serde_json::from_str(&text).unwrap();
                assert!(holds(&answer, &shown), "{head}: {answer:#}");
            }
            _ => answer = None,
        }
    }
    tried
}

#[tokio::test]
async fn the_examples_of_the_api_work() {
    assert_eq!(tried(include_str!("../../../../docs/api.md")).await, 12);
}

#[tokio::test]
async fn the_examples_of_operations_work() {
    assert_eq!(tried(include_str!("../../../../docs/operations.md")).await, 4);
}
