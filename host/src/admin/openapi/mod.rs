//! The OpenAPI document: generated from the handlers, completed with what all operations have in
//! common.

mod examples;

use std::collections::BTreeSet;

use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, PathItem, Ref, RefOr, Required, ResponseBuilder};

use crate::domain::role::Role;
use crate::wire::problem::Problem;

/// The path of the document.
pub const PATH: &str = "/api/v1/openapi.json";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Mortise admin API",
        description = "Tenants, plugins and everything that belongs to them. Each operation's security names the \
                       least role that its token needs."
    ),
    components(schemas(Problem))
)]
struct Document;

/// The document without its paths.
pub fn base() -> OpenApi {
    let mut document = Document::openapi();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token, `mt_…`"))
        .build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
    document
}

/// Completes every operation: a unique id, the required role, the path parameters, an example of
/// its body, and the problem response.
pub fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let names: Vec<String> = path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(str::to_owned)
            .collect();
        for operation in operations(item) {
            let id = operation_id(operation);
            set_example(operation, &id);
            operation.operation_id = Some(id);
            let needs = needs(operation);
            operation.description = Some(match operation.description.take() {
                Some(said) if !said.is_empty() => format!("{said}\n\n{needs}"),
                _ => needs,
            });
            let parameters = operation.parameters.get_or_insert_default();
            parameters.splice(0..0, names.iter().map(|name| path_parameter(name).into()));
            let problem = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name("Problem")))
                .build();
            let response = ResponseBuilder::new()
                .description("A problem")
                .content("application/problem+json", problem)
                .build();
            operation
                .responses
                .responses
                .insert("default".to_owned(), response.into());
        }
    }
    drop_unused(document);
}

/// The id of an operation: its tag and the name of its handler, such as `tenants_list`. Generated
/// clients name their functions after it.
fn operation_id(operation: &Operation) -> String {
    let tag = operation.tags.iter().flatten().next().cloned();
    let tag = tag.unwrap_or_default().replace('-', "_");
    match operation.operation_id.as_deref() {
        Some(handler) if handler != tag && !tag.is_empty() => format!("{tag}_{handler}"),
        _ => tag,
    }
}

/// The required role as a sentence, since many viewers do not show `security`.
fn needs(operation: &Operation) -> String {
    // The requirement has no accessors, so it is read from its JSON.
    let security = serde_json::to_value(&operation.security).unwrap_or_default();
    let scopes = security.pointer("/0/token").and_then(|scopes| scopes.as_array());
    let role = scopes.map(|scopes| scopes.first().and_then(|role| role.as_str()?.parse().ok()));
    match role {
        None => "Needs no token.".to_owned(),
        Some(None) => "Needs a token of any role but `metrics`.".to_owned(),
        Some(Some(Role::Operator)) => "Needs an operator's token.".to_owned(),
        Some(Some(Role::Metrics)) => "Needs a token with the role `metrics`, or an operator's.".to_owned(),
        Some(Some(role)) => format!("Needs a token with the role `{role}` or a higher one."),
    }
}

fn set_example(operation: &mut Operation, id: &str) {
    let (Some(RefOr::T(body)), Some(example)) = (&mut operation.request_body, examples::of(id)) else {
        return;
    };
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content {
            content.example = Some(example.clone());
        }
    }
}

fn path_parameter(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// Removes schemas without references. Those are inlined at their only use.
fn drop_unused(document: &mut OpenApi) {
    loop {
        let mut used = BTreeSet::new();
        references(&serde_json::to_value(&*document).unwrap_or_default(), &mut used);
        let Some(components) = &mut document.components else {
            return;
        };
        let before = components.schemas.len();
        components
            .schemas
            .retain(|name, _| used.contains(&format!("#/components/schemas/{name}")));
        if components.schemas.len() == before {
            return;
        }
    }
}

/// All references in a value.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.insert(reference.clone());
            }
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let all = [
        &mut item.get,
        &mut item.put,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ];
    all.into_iter().flatten()
}
