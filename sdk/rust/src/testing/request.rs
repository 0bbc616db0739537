//! Requests to the plugin under test.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::manifest::Auth;
use super::routing;
use super::state::State;
use crate::context::Principal;
use crate::{App, Content, Error, IntoResponse, Request, Response, Route};

/// A request to the plugin under test.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// mortise_sdk::routes! { POST "/double" => |Json(number): Json<i64>| Json(number * 2) }
///
/// let host = mortise_sdk::testing::Host::start();
/// assert_eq!(host.request("POST", "/double").json(&21).send(&APP).json::<i64>(), 42);
/// ```
#[must_use = "call `send`"]
pub struct RequestBuilder<'a> {
    state: &'a State,
    principal: Option<Principal>,
    request: Request,
}

impl<'a> RequestBuilder<'a> {
    pub(super) fn new(state: &'a State, method: &str, path_and_query: &str) -> Self {
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (path_and_query, None),
        };
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query,
            ..Request::default()
        };
        Self {
            state,
            principal: state.context.borrow().principal.clone(),
            request,
        }
    }

    /// Adds a header.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// mortise_sdk::routes! { GET "/" => |headers: Headers| headers.get("accept").unwrap_or("").to_owned() }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("GET", "/").header("Accept", "text/csv").send(&APP).text(), "text/csv");
    /// ```
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request
            .headers
            .push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Sets a JSON body, with its content type.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// mortise_sdk::routes! { POST "/" => |Text(body): Text| body }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("POST", "/").json(&[1, 2]).send(&APP).text(), "[1,2]");
    /// ```
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        let text = serde_json::to_string(value)
            .unwrap_or_else(|error| panic!("the body of the test cannot be written as JSON: {error}"));
        self.header("content-type", "application/json").body(text)
    }

    /// Sets a raw body: text or bytes.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// mortise_sdk::routes! { POST "/" => |Bytes(body): Bytes| body.len().to_string() }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("POST", "/").body(vec![0xff, 0xfe]).send(&APP).text(), "2");
    /// ```
    pub fn body(mut self, body: impl Into<Content>) -> Self {
        self.request.body = Some(body.into());
        self
    }

    /// Calls as an API key with these scopes.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// mortise_sdk::routes! { GET "/" => |principal: Principal| principal.scopes.join(" ") }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("GET", "/").scopes(["a", "b"]).send(&APP).text(), "a b");
    /// assert_eq!(host.request("GET", "/").send(&APP).status(), 401);
    /// ```
    pub fn scopes<const N: usize>(mut self, scopes: [&str; N]) -> Self {
        self.principal = Some(Principal::api_key("test-key", scopes));
        self
    }

    /// Routes the request as the host does and lets the plugin answer it. With the plugin's manifest, missing
    /// credentials and scopes are refused as in production, and routes that it does not share with `routes!` fail the
    /// test.
    ///
    /// ```
    /// mortise_sdk::routes! { GET "/ping" => || "pong" }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("GET", "/pong").send(&APP).status(), 404);
    /// ```
    pub fn send(mut self, app: &App) -> Response {
        if let Some(manifest) = &self.state.manifest {
            manifest.check_routes(app.routes());
        }
        let Some(found) = routing::find(app.routes(), &self.request.method, &self.request.path) else {
            return Error::not_found("there is no such route").into_response();
        };
        self.request.route = found.route.path.to_owned();
        self.request.params = found.params;
        let principal = match self.admit(found.route) {
            Ok(principal) => principal,
            Err(refusal) => return refusal.into_response(),
        };
        let standing = std::mem::replace(&mut self.state.context.borrow_mut().principal, principal);
        let response = app.handle(self.request);
        self.state.context.borrow_mut().principal = standing;
        response
    }

    /// Who the plugin sees as the caller, by the manifest's rules for the route.
    fn admit(&self, route: Route) -> Result<Option<Principal>, Error> {
        let Some(manifest) = &self.state.manifest else {
            return Ok(self.principal.clone());
        };
        let Some(rules) = manifest.route(route.method, route.path) else {
            unreachable!("the routes were compared with the manifest's");
        };
        if let Auth::Public(_) = rules.auth {
            return Ok(None);
        }
        let accepts =
            |kind: &str| matches!(&rules.auth, Auth::Credentials(kinds) if kinds.iter().any(|k| k == kind));
        let Some(principal) = self
            .principal
            .clone()
            .filter(|principal| accepts(&principal.kind))
        else {
            return Err(Error::unauthorized("this route needs a credential"));
        };
        match rules.scopes.iter().find(|scope| !principal.has_scope(scope)) {
            Some(scope) => {
                Err(Error::forbidden(format!("the scope `{scope}` is missing"))
                    .with_code("insufficient-scope"))
            }
            None => Ok(Some(principal)),
        }
    }
}

impl Response {
    /// The body, parsed from JSON. A body that is something else fails the test. Only with the feature `testing`.
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// assert_eq!(Json([1, 2]).into_response().json::<Vec<i64>>(), [1, 2]);
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(self.text())
            .unwrap_or_else(|error| panic!("the response is not the JSON expected: {error}: {}", self.text()))
    }
}
