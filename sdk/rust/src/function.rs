//! A plugin's list of functions, and the macro [`functions!`](crate::functions) that defines it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, json};

/// The functions of a plugin as [`functions!`](crate::functions) defines them: their names and the
/// function that dispatches to their handlers.
///
/// The macro defines it as the constant `FUNCTIONS`, which tests call.
///
/// ```
/// mortise_sdk::functions! {
///     "double" => |number: i64| Ok(number * 2),
/// }
///
/// assert_eq!(FUNCTIONS.names(), ["double"]);
/// assert_eq!(FUNCTIONS.call("double", "21").as_deref(), Ok("42"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Functions {
    crate_name: &'static str,
    names: &'static [&'static str],
    call: fn(&str, &str) -> Result<String, FunctionError>,
}

/// Why a function returned no output. The caller sees the text.
///
/// ```
/// use mortise_sdk::FunctionError;
///
/// mortise_sdk::functions! { "double" => |number: i64| Ok(number * 2) }
///
/// assert_eq!(FUNCTIONS.call("triple", "1"), Err(FunctionError::Unknown));
/// assert!(matches!(FUNCTIONS.call("double", "true"), Err(FunctionError::InvalidInput(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionError {
    /// The plugin has no such function.
    Unknown,
    /// The input is invalid: callers get 400.
    InvalidInput(String),
    /// The function failed: callers get 422.
    Failed(String),
}

/// A function of one argument, the input, that returns `Result<output, Error>`.
///
/// It is implemented for functions and closures. The input is any type that serde deserializes, the
/// output any type that serde serializes.
///
/// An [`Error`] with status 400 becomes [`InvalidInput`](FunctionError::InvalidInput), and any
/// other becomes [`Failed`](FunctionError::Failed), each with the error's detail. A cause is logged
/// and not sent.
///
/// ```
/// use mortise_sdk::prelude::*;
/// use mortise_sdk::FunctionHandler;
///
/// fn halve(number: i64) -> Result<i64, Error> {
///     if number % 2 == 1 {
///         return Err(Error::bad_request("only even numbers have a half"));
///     }
///     Ok(number / 2)
/// }
///
/// assert_eq!(halve.run("8").as_deref(), Ok("4"));
/// assert!(halve.run("7").is_err());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler of a function",
    label = "this is no handler",
    note = "a handler takes one argument that implements `serde::Deserialize`, and answers `Result<output, Error>` with \
            an output that implements `serde::Serialize`"
)]
pub trait FunctionHandler<Input> {
    /// Deserializes the input, runs the function and serializes its output.
    ///
    /// ```
    /// use mortise_sdk::FunctionHandler;
    ///
    /// assert_eq!((|text: String| Ok(text.len())).run("\"four\"").as_deref(), Ok("4"));
    /// ```
    fn run(self, input: &str) -> Result<String, FunctionError>;
}

impl<Function, Input, Output> FunctionHandler<Input> for Function
where
    Function: FnOnce(Input) -> Result<Output, Error>,
    Input: DeserializeOwned,
    Output: Serialize,
{
    fn run(self, input: &str) -> Result<String, FunctionError> {
        let input = json::from_slice(input.as_bytes()).map_err(|why| {
            FunctionError::InvalidInput(format!("the input is not what was expected: {why}"))
        })?;
        let output = self(input).map_err(Error::into_function_error)?;
        serde_json::to_string(&output).map_err(|error| Error::internal(error).into_function_error())
    }
}

impl Functions {
    /// Used by [`functions!`](crate::functions).
    #[doc(hidden)]
    pub const fn new(
        crate_name: &'static str,
        names: &'static [&'static str],
        call: fn(&str, &str) -> Result<String, FunctionError>,
    ) -> Self {
        Self {
            crate_name,
            names,
            call,
        }
    }

    /// The plugin's crate, or a module of it.
    #[cfg_attr(
        not(any(feature = "testing", target_family = "wasm")),
        expect(dead_code, reason = "nothing is logged natively without a test host")
    )]
    pub(crate) const fn crate_name(&self) -> &'static str {
        self.crate_name
    }

    /// The names, in the order of the list.
    ///
    /// ```
    /// mortise_sdk::functions! { "a" => |_: ()| Ok(1), "b" => |_: ()| Ok(2) }
    /// assert_eq!(FUNCTIONS.names(), ["a", "b"]);
    /// ```
    pub const fn names(&self) -> &'static [&'static str] {
        self.names
    }

    /// Calls a function with its input as JSON.
    ///
    /// ```
    /// mortise_sdk::functions! { "greet" => |name: String| Ok(format!("Hello, {name}!")) }
    /// assert_eq!(FUNCTIONS.call("greet", "\"Ada\"").as_deref(), Ok("\"Hello, Ada!\""));
    /// ```
    pub fn call(&self, name: &str, input: &str) -> Result<String, FunctionError> {
        (self.call)(name, input)
    }
}

/// Calls a handler. It is a separate function, so that the compiler's error points at a value that
/// is not a handler.
#[doc(hidden)]
pub fn run<Input>(handler: impl FunctionHandler<Input>, input: &str) -> Result<String, FunctionError> {
    handler.run(input)
}

/// Maps each function of the manifest to its Rust handler.
///
/// Each line is the name exactly as in `plugin.toml`, and a [handler](crate::FunctionHandler): a
/// function or closure of one argument that returns `Result<output, Error>`. The application calls
/// it with `POST /{tenant}/{plugin}/-/functions/{name}`. The host checks input and output against
/// the schemas of the manifest.
///
/// Besides the export that the host calls, the macro defines
/// `pub fn call(&str, &str) -> Result<String, FunctionError>` and `pub const FUNCTIONS: Functions`
/// for tests. Use it once per plugin, at the root of the crate, with or without
/// [`routes!`](crate::routes).
///
/// The names are stored in the component (custom section `mortise:functions`). `mortise build` and
/// uploads reject a plugin whose manifest has other functions.
///
/// ```
/// use mortise_sdk::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, Serialize)]
/// struct Cart {
///     total_cents: i64,
/// }
///
/// fn adjust(cart: Cart) -> Result<Cart, Error> {
///     if cart.total_cents < 0 {
///         return Err(Error::bad_request("a total is not negative"));
///     }
///     Ok(Cart { total_cents: cart.total_cents * 9 / 10 })
/// }
///
/// mortise_sdk::functions! {
///     "price.adjust" => adjust,
/// }
///
/// let host = mortise_sdk::testing::Host::start();
/// let adjusted: Cart = host.function("price.adjust").json(&Cart { total_cents: 1000 }).call(&FUNCTIONS).json();
/// assert_eq!(adjusted.total_cents, 900);
/// ```
#[macro_export]
macro_rules! functions {
    ($($name:literal => $handler:expr),+ $(,)?) => {
        /// The functions of this plugin.
        pub const FUNCTIONS: $crate::Functions =
            $crate::Functions::new(::core::module_path!(), &[$($name),+], call);

        /// Calls a function with its input as JSON.
        pub fn call(
            name: &str,
            input: &str,
        ) -> ::core::result::Result<::std::string::String, $crate::FunctionError> {
            match name {
                $($name => $crate::__private::run($handler, input),)+
                _ => ::core::result::Result::Err($crate::FunctionError::Unknown),
            }
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            use $crate::__private::bindings::functions::exports::mortise::plugin::function_handler;

            const LISTED: &str = ::core::concat!($($name, "\n"),+);

            // `mortise build` and the host compare it with the manifest.
            #[used]
            #[unsafe(link_section = "mortise:functions")]
            static FUNCTION_NAMES: [u8; LISTED.len()] = $crate::__private::bytes(LISTED);

            struct Plugin;

            impl function_handler::Guest for Plugin {
                fn call(
                    name: ::std::string::String,
                    input: ::std::string::String,
                ) -> ::core::result::Result<
                    ::std::string::String,
                    function_handler::Error,
                > {
                    $crate::__private::call(&name, &input, &FUNCTIONS)
                }
            }

            $crate::__private::bindings::functions::export_functions!(
                Plugin with_types_in $crate::__private::bindings::functions
            );
        };
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_caller_is_told_from_one_of_the_plugin() {
        let host = crate::testing::Host::start();
        let run = |error: fn() -> Error| (|_: ()| Err::<(), _>(error())).run("null");
        assert_eq!(
            run(|| Error::bad_request("not so")),
            Err(FunctionError::InvalidInput("not so".to_owned()))
        );
        assert_eq!(
            run(|| Error::conflict("gone")),
            Err(FunctionError::Failed("gone".to_owned()))
        );
        let Err(FunctionError::Failed(told)) = run(|| Error::internal("the password is hunter2")) else {
            panic!("it fails");
        };
        assert!(!told.contains("hunter2"), "{told}");
        assert_eq!(host.logs()[0].message, "the password is hunter2");
    }

    #[test]
    fn an_input_of_another_form_is_refused_with_its_place() {
        let Err(FunctionError::InvalidInput(why)) = (|_: Vec<u8>| Ok(())).run("[1, \"x\"]") else {
            panic!("a text is no number");
        };
        assert!(why.contains("/1"), "{why}");
    }
}
