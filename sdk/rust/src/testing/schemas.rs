//! Checks bodies against the JSON Schemas of routes and functions, with the host's own validator.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;

use mortise_validator::{Formats, Mismatch, Schema, is_coded, is_json_type, without_bom};
use serde::Serialize;

use super::manifest::Contract;
use super::problems::Code;
use crate::{Body, Error, Request, Response, log};

/// The schemas of a plugin. Each is compiled at its first use.
pub(super) struct Schemas {
    folder: PathBuf,
    formats: Formats,
    compiled: RefCell<BTreeMap<String, Rc<Schema>>>,
}

/// One mismatch between a body and its schema.
#[derive(Serialize)]
struct FieldError {
    pointer: String,
    detail: String,
}

/// Why a body does not match its schema.
enum Failure {
    NotJson(String),
    Mismatch(Vec<Mismatch>),
}

impl Schemas {
    pub fn new(folder: PathBuf, contract: Contract) -> Self {
        let formats = match contract {
            Contract::V0_1 => Formats::ByDraft,
            Contract::V0_2 => Formats::Asserted,
        };
        Self {
            folder,
            formats,
            compiled: RefCell::default(),
        }
    }

    /// Checks the body of a request as the host does before it starts a plugin. `kind` says whether
    /// it is for a route or a function.
    pub fn check_request(&self, kind: &str, file: &str, request: &Request) -> Result<(), Error> {
        if !request.header("content-type").is_some_and(is_json_type) {
            let detail = format!("this {kind} takes JSON; send `content-type: application/json`");
            return Err(Code::UnsupportedMediaType.problem(detail));
        }
        let mut codings = request
            .headers
            .iter()
            .filter(|(name, _)| name == "content-encoding");
        if let Some((_, coding)) = codings.find(|(_, coding)| is_coded(coding.as_bytes())) {
            return Err(Code::UnsupportedMediaType.problem(format!(
                "this {kind} checks its body and decodes none, so it cannot take `content-encoding: {coding}`; send the \
                 body as it is"
            )));
        }
        let body = request.body.as_ref().map_or(&[][..], |body| body.as_bytes());
        self.check(file, body).map_err(|failure| match failure {
            Failure::NotJson(why) => Code::InvalidRequest.problem(format!("the body is not JSON: {why}")),
            Failure::Mismatch(mismatches) => {
                let errors = mismatches
                    .into_iter()
                    .map(|Mismatch { pointer, detail }| FieldError { pointer, detail });
                Code::ValidationFailed
                    .problem(format!(
                        "the body does not match the schema of this {kind}; `errors` says where"
                    ))
                    .with_field("errors", errors.collect::<Vec<_>>())
            }
        })
    }

    /// Checks the body of a response as the host does before it sends it. Mismatches are written to
    /// the plugin's log.
    pub fn check_response(&self, file: &str, response: &Response) -> Result<(), Error> {
        let is_checked = (200..300).contains(&response.status) && !matches!(response.status, 204 | 205);
        if !is_checked {
            return Ok(());
        }
        let body = match &response.body {
            Body::Empty => &[][..],
            Body::Text(text) => text.as_bytes(),
            Body::Bytes(bytes) => bytes,
        };
        self.check(file, body).map_err(|failure| {
            invalid_response(&match failure {
                Failure::NotJson(why) => format!("the body is not JSON: {why}"),
                Failure::Mismatch(mismatches) => match mismatches.first() {
                    Some(Mismatch { pointer, detail }) => {
                        format!("the body does not match its schema at `{pointer}`: {detail}")
                    }
                    None => "the body does not match its schema".to_owned(),
                },
            })
        })
    }

    fn check(&self, file: &str, body: &[u8]) -> Result<(), Failure> {
        let schema = self.compiled(file);
        let value =
            serde_json::from_slice(without_bom(body)).map_err(|error| Failure::NotJson(error.to_string()))?;
        if schema.is_valid(&value) {
            return Ok(());
        }
        Err(Failure::Mismatch(schema.mismatches(&value, body.len())))
    }

    fn compiled(&self, file: &str) -> Rc<Schema> {
        if let Some(schema) = self.compiled.borrow().get(file) {
            return Rc::clone(schema);
        }
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("the schema {} cannot be read: {error}", path.display()));
        let schema = Schema::compile(&text, self.formats)
            .unwrap_or_else(|why| panic!("the schema {} is refused: {why}", path.display()));
        let schema = Rc::new(schema);
        let kept = Rc::clone(&schema);
        self.compiled.borrow_mut().insert(file.to_owned(), kept);
        schema
    }
}

/// The response that replaces an invalid one. The reason is logged for the author.
pub(super) fn invalid_response(reason: &str) -> Error {
    log::error(&format!("invalid response: {reason}"), &[]);
    Code::PluginInvalidResponse.problem("the plugin's response cannot be sent")
}
