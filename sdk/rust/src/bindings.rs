//! The raw bindings of the contract, generated from `wit/`.

wit_bindgen::generate!({
    path: "../../wit",
    world: "http-plugin",
    pub_export_macro: true,
    export_macro_name: "export_http_plugin",
    default_bindings_module: "mortise_sdk::__private::bindings",
});
