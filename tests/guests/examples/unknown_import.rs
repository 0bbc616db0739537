//! A guest that imports an unknown interface.

#![cfg(target_family = "wasm")]

mod bindings {
    wit_bindgen::generate!({
        inline: "
            package test:absent;

            interface nowhere {
                go: func() -> u32;
            }

            world lost {
                import nowhere;
                export come: func() -> u32;
            }
        ",
    });
}

struct Guest;

impl bindings::Guest for Guest {
    fn come() -> u32 {
        bindings::test::absent::nowhere::go()
    }
}

bindings::export!(Guest with_types_in bindings);
