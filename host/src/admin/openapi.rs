//! The OpenAPI document: what the handlers say of themselves, and what is true of all of them.

use serde::Serialize;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, PathItem, Ref, Required, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema};

/// Where the document is served.
pub const PATH: &str = "/api/v1/openapi.json";

/// An error, as every route may answer it (RFC 9457).
#[derive(Serialize, ToSchema)]
struct Problem {
    /// Where the code is explained.
    r#type: String,
    /// A short name for people.
    title: String,
    /// The status of the response.
    status: u16,
    /// What programs look at.
    code: String,
    /// What is wrong with this request.
    detail: String,
    /// What finds the request in the host's log.
    request_id: String,
}

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

/// Adds to every operation what holds for all: the parameters in its path, and problems as answers.
pub fn complete(document: &mut OpenApi) {
    for (path, item) in &mut document.paths.paths {
        let names: Vec<String> = path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(str::to_owned)
            .collect();
        for operation in operations(item) {
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
}

fn path_parameter(name: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
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
