//! The raw bindings of the contract, generated from `wit/`.

wit_bindgen::generate!({
    path: "../../wit/0.2",
    world: "http-plugin",
    pub_export_macro: true,
    export_macro_name: "export_http_plugin",
    default_bindings_module: "mortise_sdk::__private::bindings",
});

/// The function handler. It is separate from the request handler, because a plugin may have only
/// one of them.
pub mod functions {
    wit_bindgen::generate!({
        path: "../../wit/0.2",
        inline: "
            package mortise:sdk;

            world functions {
                export mortise:plugin/function-handler@0.2.0;
            }
        ",
        world: "mortise:sdk/functions",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_functions",
        default_bindings_module: "mortise_sdk::__private::bindings::functions",
    });
}

/// The job handler, which is separate for the same reason.
pub mod jobs {
    wit_bindgen::generate!({
        path: "../../wit/0.2",
        inline: "
            package mortise:sdk-jobs;

            world jobs {
                export mortise:plugin/job-handler@0.2.0;
            }
        ",
        world: "mortise:sdk-jobs/jobs",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_jobs",
        default_bindings_module: "mortise_sdk::__private::bindings::jobs",
    });
}
