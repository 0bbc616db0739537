//! A guest of contract 0.1 that handles functions but no requests.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({ path: "../../wit/0.1", world: "function-plugin" });
}

struct Guest;

impl bindings::exports::mortise::plugin::function_handler::Guest for Guest {
    fn call(
        name: String,
        input: String,
    ) -> Result<String, bindings::exports::mortise::plugin::function_handler::Error> {
        use bindings::exports::mortise::plugin::function_handler::Error;
        match name.as_str() {
            "echo" => Ok(input),
            "invalid" => Err(Error::InvalidInput("not this one".to_owned())),
            "failed" => Err(Error::Failed("it is broken".to_owned())),
            _ => Err(Error::UnknownFunction),
        }
    }
}

bindings::export!(Guest with_types_in bindings);
