//! Answers what it was asked.

use test_guests::{Content, Request, Response, answer, guest, json};

guest!(handle);

fn handle(request: Request) -> Response {
    let body = match &request.body {
        None => json!(null),
        Some(Content::Text(text)) => json!({ "text": text }),
        Some(Content::Bytes(bytes)) => json!({ "bytes": bytes }),
    };
    let echo = json!({
        "method": request.method,
        "route": request.route,
        "path": request.path,
        "query": request.query,
        "params": request.params,
        "headers": request.headers,
        "body": body,
    });
    answer(200, &echo)
}
