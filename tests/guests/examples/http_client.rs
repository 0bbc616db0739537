//! A guest that sends the HTTP requests of its input.

use test_guests::http_client::{self, OutgoingRequest, Retry};
use test_guests::{Content, Request, Response, Value, answer, guest, input, json, text};

guest!(handle);

fn handle(request: Request) -> Response {
    let input = input(&request);
    let output = match request.path.as_str() {
        "/send" => outcome(http_client::send(&outgoing(&input))),
        "/start" => {
            let started: Vec<_> = input["requests"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|request| http_client::start(&outgoing(request)))
                .collect();
            let waited = started.into_iter().map(|pending| match pending {
                Ok(pending) => json!([outcome(pending.wait()), outcome(pending.wait())]),
                Err(error) => json!({ "error": format!("{error:?}") }),
            });
            waited.collect()
        }
        other => json!(other),
    };
    answer(200, &output)
}

fn outgoing(input: &Value) -> OutgoingRequest {
    let pairs = |member: &str| -> Vec<(String, String)> {
        let object = input[member].as_object().cloned().unwrap_or_default();
        object
            .into_iter()
            .map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned()))
            .collect()
    };
    OutgoingRequest {
        method: input["method"].as_str().unwrap_or("GET").to_owned(),
        url: text(input, "url").to_owned(),
        headers: pairs("headers"),
        secret_headers: pairs("secret_headers")
            .into_iter()
            .map(|(header, secret)| (header, "Bearer ".to_owned(), secret))
            .collect(),
        body: input["body"].as_str().map(|body| Content::Text(body.to_owned())),
        timeout_ms: input["timeout_ms"]
            .as_u64()
            .and_then(|timeout| u32::try_from(timeout).ok()),
        retry: input["attempts"].as_u64().map(|attempts| Retry {
            max_attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            initial_backoff_ms: 1,
        }),
    }
}

fn outcome(result: Result<http_client::IncomingResponse, http_client::Error>) -> Value {
    match result {
        Ok(response) => {
            let body = match response.body {
                Content::Text(text) => json!({ "text": text }),
                Content::Bytes(bytes) => json!({ "bytes": bytes }),
            };
            json!({ "status": response.status, "headers": response.headers, "body": body })
        }
        Err(error) => json!({ "error": format!("{error:?}") }),
    }
}
