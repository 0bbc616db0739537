//! A plugin's list of routes, and the macro [`routes!`](crate::routes) that defines it.

use crate::{Error, Handler, IntoResponse, Request, Response};

/// One line of [`routes!`](crate::routes): a method and a path pattern of the manifest.
///
/// ```
/// let route = mortise_sdk::Route { method: "GET", path: "/orders/{id}" };
/// assert_eq!(route.path, "/orders/{id}");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Upper case, such as `GET`.
    pub method: &'static str,
    /// The pattern as the manifest writes it, such as `/orders/{id}`.
    pub path: &'static str,
}

/// A plugin as [`routes!`](crate::routes) defines it: its routes and the function that handles
/// them.
///
/// The macro defines it as the constant `APP`, to which tests send requests.
///
/// ```
/// mortise_sdk::routes! {
///     GET "/ping" => || "pong",
/// }
///
/// assert_eq!(APP.routes()[0].path, "/ping");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct App {
    crate_name: &'static str,
    routes: &'static [Route],
    handle: fn(Request) -> Response,
}

impl App {
    /// Used by [`routes!`](crate::routes).
    #[doc(hidden)]
    pub const fn new(
        crate_name: &'static str,
        routes: &'static [Route],
        handle: fn(Request) -> Response,
    ) -> Self {
        Self {
            crate_name,
            routes,
            handle,
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

    /// Every route, in the order of the list.
    ///
    /// ```
    /// mortise_sdk::routes! { GET "/a" => || "a", POST "/a" => || "b" }
    /// assert_eq!(APP.routes().len(), 2);
    /// ```
    pub const fn routes(&self) -> &'static [Route] {
        self.routes
    }

    /// Answers a request whose route the host has already found.
    ///
    /// ```
    /// use mortise_sdk::Request;
    ///
    /// mortise_sdk::routes! { GET "/ping" => || "pong" }
    /// let request = Request { method: "GET".into(), route: "/ping".into(), ..Request::default() };
    /// assert_eq!(APP.handle(request).status(), 200);
    /// ```
    pub fn handle(&self, request: Request) -> Response {
        (self.handle)(request)
    }
}

/// The response to a route that is in the manifest but not in [`routes!`](crate::routes).
#[doc(hidden)]
pub fn unlisted_route(request: &Request) -> Response {
    Error::internal(format!(
        "the manifest has the route {} {}, but the plugin's routes! list does not",
        request.method, request.route
    ))
    .into_response()
}

/// Calls a handler. It is a separate function, so that the compiler's error points at a value that
/// is not a handler.
#[doc(hidden)]
pub fn answer<Arguments>(handler: impl Handler<Arguments>, request: Request) -> Response {
    handler.call(request)
}

/// Converts a text to an array for a static.
#[doc(hidden)]
pub const fn bytes<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => panic!("the text is shorter than the array"),
    }
}

/// Maps each route to its handler and defines the plugin's exports.
///
/// Each line is a method, a path pattern exactly as in `plugin.toml`, and a handler: a function or
/// closure of up to six [extractors](crate::extract) that returns
/// [`IntoResponse`](crate::IntoResponse). The host has matched the route before the plugin starts,
/// so the macro expands to one `match`.
///
/// Besides the export that the host calls, the macro defines `pub fn handle(Request) -> Response`
/// and `pub const APP: App` for tests. Use it once per plugin, at the root of the crate. The list
/// is stored in the component (custom section `mortise:routes`). `mortise build` and uploads reject
/// a plugin whose manifest has other routes.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// fn show(Path(id): Path<u32>) -> String {
///     format!("thing {id}")
/// }
///
/// fn remove(Path(_id): Path<u32>) -> Status {
///     Status::NO_CONTENT
/// }
///
/// mortise_sdk::routes! {
///     GET "/things/{id}" => show,
///     DELETE "/things/{id}" => remove,
/// }
///
/// let host = mortise_sdk::testing::Host::start();
/// assert_eq!(host.request("GET", "/things/7").send(&APP).text(), "thing 7");
/// assert_eq!(host.request("DELETE", "/things/7").send(&APP).status(), 204);
/// ```
#[macro_export]
macro_rules! routes {
    ($($method:ident $path:literal => $handler:expr),+ $(,)?) => {
        /// The routes of this plugin and the function that handles them.
        pub const APP: $crate::App = $crate::App::new(
            ::core::module_path!(),
            &[$($crate::Route { method: stringify!($method), path: $path }),+],
            handle,
        );

        /// Answers a request whose route the host has already found.
        pub fn handle(request: $crate::Request) -> $crate::Response {
            match (request.method.as_str(), request.route.as_str()) {
                $((stringify!($method), $path) => $crate::__private::answer($handler, request),)+
                _ => $crate::__private::unlisted_route(&request),
            }
        }

        #[cfg(target_family = "wasm")]
        const _: () = {
            const LISTED: &str = ::core::concat!($(::core::stringify!($method), " ", $path, "\n"),+);

            // `mortise build` and the host compare it with the manifest.
            #[used]
            #[unsafe(link_section = "mortise:routes")]
            static ROUTES: [u8; LISTED.len()] = $crate::__private::bytes(LISTED);

            struct Plugin;

            impl $crate::__private::bindings::exports::mortise::plugin::http_handler::Guest for Plugin {
                fn handle(
                    request: $crate::__private::bindings::exports::mortise::plugin::http_handler::Request,
                ) -> $crate::__private::bindings::exports::mortise::plugin::http_handler::Response {
                    $crate::__private::serve(request, &APP)
                }
            }

            $crate::__private::bindings::export_http_plugin!(
                Plugin with_types_in $crate::__private::bindings
            );
        };
    };
}
