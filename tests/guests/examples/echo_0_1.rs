//! The guest `echo`, built for contract 0.1.

use test_guests::guest;
use test_guests::v0_1 as contract;

use contract::{Request, Response, answer};

#[path = "../shared/echo.rs"]
mod echo;

guest!(v0_1, handle);

fn handle(request: Request) -> Response {
    answer(200, &echo::echo(&request))
}
