//! Handles functions and no requests.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({ path: "../../wit", world: "function-plugin" });
}

struct Guest;

impl bindings::exports::mortise::plugin::function_handler::Guest for Guest {
    fn call(
        _name: String,
        input: String,
    ) -> Result<String, bindings::exports::mortise::plugin::function_handler::Error> {
        Ok(input)
    }
}

bindings::export!(Guest with_types_in bindings);
