//! Contract 0.1, which is frozen.

#[expect(missing_docs, reason = "generated from `wit/`, where the documentation is")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.1",
        // The world has its own name, because the macros of both worlds must not collide.
        inline: "
            package test:frozen;

            world frozen-plugin {
                include mortise:plugin/http-plugin@0.1.0;
            }
        ",
        world: "test:frozen/frozen-plugin",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "test_guests::v0_1::bindings",
    });
}

crate::contract!();
