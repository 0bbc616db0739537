//! A guest that echoes its requests as JSON.

use test_guests::v0_2 as contract;
use test_guests::{Request, Response, answer, guest, json};

#[path = "../shared/echo.rs"]
mod echo;

guest!(handle);

fn handle(request: Request) -> Response {
    let mut echo = echo::echo(&request);
    echo["scheme"] = json!(request.scheme);
    echo["authority"] = json!(request.authority);
    echo["base_url"] = json!(request.base_url);
    answer(200, &echo)
}
