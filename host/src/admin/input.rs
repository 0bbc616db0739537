//! Extractors for paths, queries and JSON bodies. Their errors name the wrong part of the request.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use bytes::Bytes;
use mortise_validator::is_json_type;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;

use super::error::invalid;
use super::state::AdminState;
use crate::domain::clock::Timestamp;
use crate::domain::id::{
    ApiKeyId, DeliveryId, EndpointId, InvocationId, JobId, JobName, MailId, PlanName, PluginName, ReceivedId,
    ScheduleName, TokenId,
};
use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::domain::secret::is_plain_name;
use crate::domain::suppression::AddressKey;
use crate::domain::units::ByteSize;
use crate::domain::version_name::VersionName;
use crate::http::hint::Hint;
use crate::http::problem::Problem;
use crate::server::body;

/// The largest JSON body of a request.
const MAX_JSON_BYTES: ByteSize = ByteSize::kib(256);

/// A JSON body.
pub struct Input<T>(pub T);

/// The query parameters.
pub struct Params<T>(pub T);

/// Refuses all query parameters, for addresses without any. Otherwise a misspelt parameter would be
/// ignored silently.
pub struct NoParams;

/// A parameter of the path. A malformed one is answered as not found.
pub struct At<T>(pub T);

/// A type of path parameters.
pub trait InPath: FromStr {
    /// Name of the parameter in the route.
    const PARAMETER: &'static str;
    /// The kind of resource that the parameter names.
    const RESOURCE: Resource;
}

/// The name of a stored setting.
#[derive(Clone, Debug)]
pub struct SettingName(pub String);

/// The name of a secret: 1 to 128 letters, digits, `_`, `-` and `.`.
#[derive(Clone, Debug)]
pub struct SecretName(pub String);

macro_rules! in_path {
    ($($name:ty = $parameter:literal, $resource:ident;)+) => {$(
        impl InPath for $name {
            const PARAMETER: &'static str = $parameter;
            const RESOURCE: Resource = Resource::$resource;
        }
    )+};
}

in_path! {
    PlanName = "plan", Plan;
    PluginName = "plugin", Plugin;
    VersionName = "version", Version;
    SecretName = "name", Secret;
    SettingName = "setting", Setting;
    ApiKeyId = "api_key", ApiKey;
    TokenId = "token", Token;
    InvocationId = "invocation", Invocation;
    JobId = "id", Job;
    JobName = "job", JobKind;
    MailId = "mail", Mail;
    AddressKey = "address", Suppression;
    ScheduleName = "schedule", Schedule;
    EndpointId = "endpoint", Endpoint;
    DeliveryId = "delivery", Delivery;
    ReceivedId = "received", ReceivedWebhook;
}

impl FromStr for SecretName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        is_plain_name(text).then(|| Self(text.to_owned())).ok_or(())
    }
}

impl FromStr for SettingName {
    type Err = std::convert::Infallible;

    /// Accepts any text. Earlier hosts did so too, and settings with such names can be removed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl<T: InPath> FromRequestParts<Arc<AdminState>> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found(T::RESOURCE))?;
        params
            .iter()
            .find(|(name, _)| *name == T::PARAMETER)
            .and_then(|(_, text)| text.parse().ok())
            .map(Self)
            .ok_or_else(|| Problem::not_found(T::RESOURCE))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Arc<AdminState>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AdminState>) -> Result<Self, Problem> {
        check_encoding(parts.uri.query().unwrap_or_default())?;
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(query)| Self(query))
            .map_err(|rejection| invalid(place(rejection.body_text())))
    }
}

/// Rejects a query with escapes that are not UTF-8, which `Query` would replace by `U+FFFD`.
fn check_encoding(query: &str) -> Result<(), Problem> {
    for parameter in query.split('&') {
        if percent_decode_str(parameter).decode_utf8().is_err() {
            let name = parameter.split('=').next().unwrap_or_default();
            let name = percent_decode_str(name).decode_utf8_lossy();
            let name: String = name.chars().take(100).collect();
            return Err(invalid(format!("{name}: an escape is not UTF-8")));
        }
    }
    Ok(())
}

impl FromRequestParts<Arc<AdminState>> for NoParams {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<AdminState>) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        match url::form_urlencoded::parse(query.as_bytes()).next() {
            None => Ok(Self),
            Some((name, _)) => {
                let name: String = name.chars().take(100).collect();
                Err(invalid(format!("{name}: this address takes no parameters")))
            }
        }
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<AdminState>> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<AdminState>) -> Result<Self, Problem> {
        parse(&json_body(request, state).await?).map(Self)
    }
}

/// Reads the bytes of a JSON body.
pub async fn json_body(request: Request, state: &AdminState) -> Result<Bytes, Problem> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        let detail = "the body must be JSON: `Content-Type: application/json`";
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let read = body::read(&parts.headers, body, MAX_JSON_BYTES, state.pace, |_| Ok(())).await;
    read.map_err(|problem| match problem.code() {
        Code::BodyTooLarge => problem.hint(Hint::JsonTooLarge),
        _ => problem,
    })
}

/// Parses a JSON body. An error names the wrong member.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let input = Json::<T>::from_bytes(bytes);
    input.map(|Json(input)| input).map_err(|rejection| {
        let said = place(rejection.body_text());
        match serde_json::from_slice::<T>(bytes) {
            // The message names the member. Line and column are removed, since users of a client do
            // not see the text.
            Err(error) if error.is_data() => {
                let position = format!(" at line {} column {}", error.line(), error.column());
                invalid(said.strip_suffix(&position).unwrap_or(&said))
            }
            _ => invalid(format!("the body is not JSON: {said}")),
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(is_json_type)
}

/// Removes the introduction of serde and axum from an error message.
fn place(text: String) -> String {
    match text.split_once(": ") {
        Some((introduction, rest)) if introduction.starts_with("Failed to") => rest.to_owned(),
        _ => text,
    }
}

/// Checks a name for people: 1 to 100 characters, no control characters.
pub fn check_label(field: &str, text: &str) -> Result<(), Problem> {
    let length = text.chars().count();
    if (1..=100).contains(&length) && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(invalid(format!(
            "{field}: 1 to 100 characters are needed, and no control characters"
        )))
    }
}

/// Checks that a time of expiry is in the future.
pub fn check_expiry(expires_at: Option<Timestamp>, now: Timestamp) -> Result<(), Problem> {
    match expires_at {
        Some(at) if at <= now => Err(invalid(format!("expires_at: {at} is not in the future"))),
        _ => Ok(()),
    }
}
