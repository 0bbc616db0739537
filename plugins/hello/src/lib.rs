//! The smallest useful plugin: two routes, a path parameter, a query parameter, JSON in and out.

use mortise_sdk::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Style {
    greeting: Option<String>,
}

#[derive(Serialize)]
struct Greeting {
    message: String,
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

#[derive(Serialize)]
struct Echo {
    text: String,
    characters: usize,
    words: usize,
}

fn hello(Path(name): Path<String>, Query(style): Query<Style>) -> Json<Greeting> {
    let greeting = style.greeting.as_deref().unwrap_or("Hello");
    Json(Greeting {
        message: format!("{greeting}, {name}!"),
    })
}

fn echo(Json(Message { text }): Json<Message>) -> Json<Echo> {
    Json(Echo {
        characters: text.chars().count(),
        words: text.split_whitespace().count(),
        text,
    })
}

mortise_sdk::routes! {
    GET "/hello/{name}" => hello,
    POST "/echo" => echo,
}

#[cfg(test)]
mod tests {
    use mortise_sdk::testing::Host;
    use serde_json::{Value, json};

    use super::APP;

    fn host() -> Host {
        Host::builder().plugin(env!("CARGO_MANIFEST_DIR")).start()
    }

    #[test]
    fn hello_greets_by_name() {
        let response = host().request("GET", "/hello/J%C3%BCrgen").send(&APP);
        assert_eq!(response.json::<Value>(), json!({"message": "Hello, Jürgen!"}));
    }

    #[test]
    fn the_greeting_can_be_chosen() {
        let response = host()
            .request("GET", "/hello/Ada?greeting=Good+morning")
            .send(&APP);
        assert_eq!(response.json::<Value>(), json!({"message": "Good morning, Ada!"}));
    }

    #[test]
    fn echo_describes_the_text() {
        let response = host()
            .request("POST", "/echo")
            .json(&json!({"text": "zwei Wörter"}))
            .send(&APP);
        assert_eq!(
            response.json::<Value>(),
            json!({"text": "zwei Wörter", "characters": 11, "words": 2})
        );
    }

    #[test]
    fn a_body_that_does_not_match_the_schema_is_refused() {
        let response = host()
            .request("POST", "/echo")
            .json(&json!({"txet": "oops"}))
            .send(&APP);
        assert_eq!(response.status(), 400);
        assert_eq!(response.json::<Value>()["code"], "validation-failed");
    }
}
