//! Contract 0.2.

#[expect(missing_docs, reason = "generated from `wit/`, where the documentation is")]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/0.2",
        world: "http-plugin",
        pub_export_macro: true,
        default_bindings_module: "test_guests::v0_2::bindings",
    });
}

crate::contract!();
