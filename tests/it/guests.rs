//! The list of guests with their tests. A guest that is missing here does not compile, so that each
//! is tested.

mod tested {
    pub(super) use crate::attacks;
    pub(super) use crate::cancellation as resources;
    pub(super) use crate::capabilities;
    pub(super) use crate::contracts as capabilities_0_1;
    pub(super) use crate::contracts as database_0_1;
    pub(super) use crate::contracts as echo_0_1;
    pub(super) use crate::database;
    pub(super) use crate::faults;
    pub(super) use crate::functions;
    pub(super) use crate::gateway as echo;
    pub(super) use crate::http_client;
    pub(super) use crate::jobs as background;
    pub(super) use crate::jobs as background_0_1;
    pub(super) use crate::limits::greedy;
    pub(super) use crate::reuse as reused;
    pub(super) use crate::upload::an_import_that_nobody_offers_is_named as unknown_import;
    pub(super) use crate::upload::routes_need_a_handler as no_http_handler;
    pub(super) use crate::wasi;
}

macro_rules! is_tested {
    ($($guest:ident)*) => {
        $(
            #[expect(unused_imports, reason = "named so that it must be there")]
            use tested::$guest as _;
        )*
    };
}

test_artifacts::foreach_guest!(is_tested);
