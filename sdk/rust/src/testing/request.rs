//! Requests to the plugin under test, and calls of its functions.

use std::collections::BTreeSet;

use mortise_validator::without_bom;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::manifest::{Auth, Function, Route as Rules};
use super::problems::Code;
use super::routing;
use super::schemas::invalid_response;
use super::state::State;
use crate::context::{Principal, Trigger};
use crate::{
    App, Body, Content, Error, FunctionError, Functions, IntoResponse, Request, Response, Route, fields, log,
};

/// A request to the plugin under test, or a call of one of its functions.
///
/// ```
/// use mortise_sdk::prelude::*;
///
/// mortise_sdk::routes! { POST "/double" => |Json(number): Json<i64>| Json(number * 2) }
///
/// let host = mortise_sdk::testing::Host::start();
/// assert_eq!(host.request("POST", "/double").json(&21).send(&APP).json::<i64>(), 42);
/// ```
#[must_use = "call `send`, or `call` for a function"]
pub struct RequestBuilder<'a> {
    state: &'a State,
    principal: Option<Principal>,
    /// Whether the test set the caller of this request.
    is_own: bool,
    /// The id of the API key that the test named.
    key: Option<String>,
    request: Request,
}

/// The authority of the plugin's URL in tests.
const AUTHORITY: &str = "127.0.0.1:8080";

/// Below the mount point of a plugin: where its functions are.
pub(super) const FUNCTIONS_PATH: &str = "/-/functions/";

/// What a caller learns where nothing is.
const NOTHING: &str = "there is no such tenant, plugin, route or function";

/// The default id of an API key.
const DEFAULT_KEY: &str = "test-key";

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
            scheme: "http".to_owned(),
            authority: AUTHORITY.to_owned(),
            base_url: format!("http://{AUTHORITY}/test/{}", state.context.borrow().plugin),
            ..Request::default()
        };
        Self {
            state,
            principal: state.context.borrow().principal.clone(),
            is_own: false,
            key: None,
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

    /// Calls with an API key with these scopes; `*` stands for all. The id of the key is
    /// `test-key`, unless [`api_key`](Self::api_key) sets another.
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
        let id = self.key.as_deref().unwrap_or(DEFAULT_KEY);
        self.principal = Some(Principal::api_key(id, scopes));
        self.is_own = true;
        self
    }

    /// Calls with the API key with this id. Its scopes are those of [`scopes`](Self::scopes), or
    /// none.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// mortise_sdk::routes! { GET "/" => |principal: Principal| principal.id }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("GET", "/").api_key("key-7").scopes(["a"]).send(&APP).text(), "key-7");
    /// ```
    pub fn api_key(mut self, id: &str) -> Self {
        // Scopes may have been set before; the test host's own principal is another caller.
        let scopes = match (self.principal.take(), self.is_own) {
            (Some(principal), true) => principal.scopes,
            _ => Vec::new(),
        };
        self.principal = Some(Principal {
            scopes,
            ..Principal::api_key(id, [])
        });
        self.key = Some(id.to_owned());
        self.is_own = true;
        self
    }

    /// Calls as this principal, or without one (`None`), instead of the test host's principal.
    ///
    /// ```
    /// # use mortise_sdk::prelude::*;
    /// mortise_sdk::routes! { GET "/" => |principal: Principal| principal.kind }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// let user = Principal { kind: "user".into(), ..Principal::api_key("ada", []) };
    /// assert_eq!(host.request("GET", "/").principal(user).send(&APP).text(), "user");
    /// assert_eq!(host.request("GET", "/").principal(None).send(&APP).status(), 401);
    /// ```
    pub fn principal(mut self, principal: impl Into<Option<Principal>>) -> Self {
        self.principal = principal.into();
        self.is_own = true;
        self
    }

    /// Routes the request as the host does and runs the handler. With the plugin's manifest, it
    /// also rejects what the host rejects: missing credentials and scopes, bodies that are too
    /// large or do not match their schema, and invalid responses. If the manifest and `routes!`
    /// have different routes, the test fails.
    ///
    /// ```
    /// mortise_sdk::routes! { GET "/ping" => || "pong" }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.request("GET", "/pong").send(&APP).status(), 404);
    /// assert_eq!(host.request("POST", "/ping").send(&APP).header("allow"), Some("GET"));
    /// ```
    pub fn send(mut self, app: &App) -> Response {
        log::install(app.crate_name());
        if let Some(manifest) = &self.state.manifest {
            manifest.check_routes(app.routes());
        }
        fields::join_cookies(&mut self.request.headers);
        let response = self.answer(app).unwrap_or_else(Error::into_response);
        let id = self.state.context.borrow().id.clone();
        response.with_header("x-request-id", id)
    }

    /// Calls the function of [`Host::function`](super::Host::function) and returns the response to
    /// its caller. With the plugin's manifest, it also rejects what the host rejects, like
    /// [`send`](Self::send).
    ///
    /// ```
    /// use mortise_sdk::prelude::*;
    ///
    /// mortise_sdk::functions! { "halve" => |number: i64| match number % 2 {
    ///     0 => Ok(number / 2),
    ///     _ => Err(Error::bad_request("only even numbers have a half")),
    /// } }
    ///
    /// let host = mortise_sdk::testing::Host::start();
    /// assert_eq!(host.function("halve").json(&8).call(&FUNCTIONS).json::<i64>(), 4);
    /// assert_eq!(host.function("halve").json(&7).call(&FUNCTIONS).status(), 400);
    /// assert_eq!(host.function("third").json(&7).call(&FUNCTIONS).status(), 404);
    /// ```
    pub fn call(self, functions: &Functions) -> Response {
        log::install(functions.crate_name());
        if let Some(manifest) = &self.state.manifest {
            manifest.check_functions(functions.names());
        }
        let response = self.output(functions).unwrap_or_else(Error::into_response);
        let id = self.state.context.borrow().id.clone();
        response.with_header("x-request-id", id)
    }

    fn output(&self, functions: &Functions) -> Result<Response, Error> {
        let name = self.request.path.strip_prefix(FUNCTIONS_PATH).unwrap_or_default();
        if !functions.names().contains(&name) {
            return Err(Code::NotFound.problem(NOTHING));
        }
        let state = self.state;
        let rules = state
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.function(name));
        let principal = match rules {
            Some(rules) => self.admit(&rules.auth, &rules.scopes)?,
            None => self.principal.clone(),
        };
        if let Some(rules) = rules {
            self.check_request("function", Some(&rules.input))?;
        }
        let body = self.request.body.as_ref().map_or(&[][..], |body| body.as_bytes());
        let not_json = |error: &dyn std::fmt::Display| {
            Code::InvalidRequest.problem(format!("the body is not JSON: {error}"))
        };
        let input = str::from_utf8(without_bom(body)).map_err(|error| not_json(&error))?;
        match state.invoke(Trigger::Function, principal, || functions.call(name, input)) {
            Ok(output) => self.checked_output(rules, output),
            Err(FunctionError::InvalidInput(why)) => Err(Code::InvalidInput.problem(why)),
            Err(FunctionError::Failed(why)) => Err(Code::FunctionFailed.problem(why)),
            Err(FunctionError::Unknown) => {
                log::error(
                    "functions! lists this function, and calling it says that it is unknown",
                    &[],
                );
                Err(Code::PluginInvalidResponse.problem("the plugin does not know this function"))
            }
        }
    }

    fn checked_output(&self, rules: Option<&Function>, output: String) -> Result<Response, Error> {
        let response = Response::new(200)
            .with_header("content-type", "application/json")
            .with_body(output);
        self.check_size(&response)?;
        if let (Some(rules), Some(schemas)) = (rules, &self.state.schemas) {
            schemas.check_response(&rules.output, &response)?;
        }
        Ok(response)
    }

    fn answer(&mut self, app: &App) -> Result<Response, Error> {
        let route = self.locate(app)?;
        let state = self.state;
        let rules = state.manifest.as_ref().map(|manifest| {
            let rules = manifest.route(route.method, route.path);
            rules.unwrap_or_else(|| unreachable!("the routes were compared with the manifest's"))
        });
        let principal = match rules {
            Some(rules) => self.admit(&rules.auth, &rules.scopes)?,
            None => self.principal.clone(),
        };
        if let Some(rules) = rules {
            self.check_request("route", rules.request.as_deref())?;
        }
        let request = std::mem::take(&mut self.request);
        let response = state.invoke(Trigger::Http, principal, || app.handle(request));
        match rules {
            Some(rules) => self.checked_response(rules, response),
            None => Ok(response),
        }
    }

    /// Finds the route and sets the captured parameters of the request.
    fn locate(&mut self, app: &App) -> Result<Route, Error> {
        let path = &self.request.path;
        match routing::find(app.routes(), &self.request.method, path) {
            Some(found) => {
                self.request.route = found.route.path.to_owned();
                self.request.params = found.params;
                Ok(found.route)
            }
            None => Err(match routing::methods(app.routes(), path).as_slice() {
                [] => Code::NotFound.problem(NOTHING),
                methods => {
                    let methods = methods.join(", ");
                    Code::MethodNotAllowed
                        .problem(format!("this path answers {methods}"))
                        .with_header("allow", methods)
                }
            }),
        }
    }

    /// Returns the caller that the plugin sees, by the rules of the manifest.
    fn admit(&self, auth: &Auth, scopes: &BTreeSet<String>) -> Result<Option<Principal>, Error> {
        let Auth::Credentials(kinds) = auth else {
            return Ok(None);
        };
        let accepted = |principal: &Principal| kinds.contains(&principal.kind);
        let Some(principal) = self.principal.clone().filter(accepted) else {
            let detail = "send a valid API key as `Authorization: Bearer …` or as `x-api-key`";
            let problem = Code::Unauthenticated.problem(detail);
            return Err(problem.with_header("www-authenticate", "Bearer"));
        };
        let missing = scopes.iter().filter(|scope| !principal.has_scope(scope));
        let missing: Vec<_> = missing.map(String::as_str).collect();
        if !missing.is_empty() {
            let detail = format!("the credential lacks {}", missing.join(", "));
            return Err(Code::InsufficientScope.problem(detail));
        }
        Ok(Some(principal))
    }

    fn check_request(&self, kind: &str, schema: Option<&str>) -> Result<(), Error> {
        let body = self.request.body.as_ref();
        let limit = self.state.budget.limits.request_body;
        if body.is_some_and(|body| body.as_bytes().len() > limit.0) {
            let detail = format!(
                "the body has more than {limit} (limit `request_body`); send less, or ask the operator of the host for a \
                 higher limit"
            );
            return Err(Code::BodyTooLarge.problem(detail));
        }
        match (schema, &self.state.schemas) {
            (Some(file), Some(schemas)) => schemas.check_request(kind, file, &self.request),
            _ => Ok(()),
        }
    }

    fn checked_response(&self, rules: &Rules, response: Response) -> Result<Response, Error> {
        if !(200..600).contains(&response.status) {
            let reason = format!("{} is not a status from 200 to 599", response.status);
            return Err(invalid_response(&reason));
        }
        self.check_size(&response)?;
        if let (Some(file), Some(schemas)) = (&rules.response, &self.state.schemas) {
            schemas.check_response(file, &response)?;
        }
        Ok(response)
    }

    fn check_size(&self, response: &Response) -> Result<(), Error> {
        let bytes = match &response.body {
            Body::Empty => 0,
            Body::Text(text) => text.len(),
            Body::Bytes(bytes) => bytes.len(),
        };
        let limit = self.state.budget.limits.response_body;
        if bytes > limit.0 {
            return Err(invalid_response(&format!(
                "the body has {bytes} bytes, more than {limit}"
            )));
        }
        Ok(())
    }
}

impl State {
    /// Runs the plugin as one invocation with this caller.
    pub(super) fn invoke<T>(
        &self,
        trigger: Trigger,
        principal: Option<Principal>,
        run: impl FnOnce() -> T,
    ) -> T {
        let standing = {
            let mut context = self.context.borrow_mut();
            context.trigger = trigger;
            std::mem::replace(&mut context.principal, principal)
        };
        self.database.enter(self.budget.begin());
        let answer = run();
        self.budget.end();
        self.database.enter(0);
        let mut context = self.context.borrow_mut();
        context.trigger = Trigger::Http;
        context.principal = standing;
        answer
    }
}

impl Response {
    /// Parses the body as JSON; if that fails, the test fails. Requires the feature `testing`.
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
