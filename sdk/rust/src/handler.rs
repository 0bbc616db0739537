//! The trait of route handlers, implemented for functions and closures.

use crate::extract::FromRequest;
use crate::{IntoResponse, Request, Response};

/// A function of up to six [extractors](crate::extract) that returns [`IntoResponse`].
///
/// It is implemented for functions and closures. The extractors run from left to right. The first
/// one that rejects the request determines the response.
///
/// ```
/// use mortise_sdk::prelude::*;
/// use mortise_sdk::Handler;
///
/// fn shout(Text(body): Text) -> String {
///     body.to_uppercase()
/// }
///
/// let request = Request { body: Some("hello".into()), ..Request::default() };
/// assert_eq!(shout.call(request).text(), "HELLO");
/// ```
///
/// An argument that is not an extractor is a compile error at the handler:
///
/// ```compile_fail
/// mortise_sdk::routes! { GET "/" => |number: u32| number.to_string() }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler of a route",
    label = "this is no handler",
    note = "a handler is a function of up to six extractors: `Path`, `Query`, `Json`, `Text`, `Bytes`, `Headers`, \
            `Cookies`, `Principal`, `Context`, `Request`, an `Option` of one of them, or a type with `FromRequest`",
    note = "it answers what implements `IntoResponse`, such as `Json<T>`, `String`, `Status`, `Response`, `()` or \
            `Result<T, Error>`"
)]
pub trait Handler<Arguments> {
    /// Extracts the arguments, runs the function and converts its result to a response.
    ///
    /// ```
    /// use mortise_sdk::{Handler, Request};
    ///
    /// assert_eq!((|| "pong").call(Request::default()).status(), 200);
    /// ```
    fn call(self, request: Request) -> Response;
}

impl<Function, Answer> Handler<()> for Function
where
    Function: FnOnce() -> Answer,
    Answer: IntoResponse,
{
    fn call(self, _request: Request) -> Response {
        self().into_response()
    }
}

macro_rules! implement_handler {
    ($($argument:ident),*) => {
        impl<Function, Answer, $($argument),*> Handler<($($argument,)*)> for Function
        where
            Function: FnOnce($($argument),*) -> Answer,
            Answer: IntoResponse,
            $($argument: FromRequest,)*
        {
            #[expect(non_snake_case, reason = "the names are those of the types")]
            fn call(self, mut request: Request) -> Response {
                $(let $argument = match $argument::from_request(&mut request) {
                    Ok(value) => value,
                    Err(error) => return error.into_response(),
                };)*
                self($($argument),*).into_response()
            }
        }
    };
}

implement_handler!(A);
implement_handler!(A, B);
implement_handler!(A, B, C);
implement_handler!(A, B, C, D);
implement_handler!(A, B, C, D, E);
implement_handler!(A, B, C, D, E, F);
