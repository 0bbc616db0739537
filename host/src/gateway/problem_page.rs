//! Serves the page behind the `type` of a problem.

use axum::extract::Path;

use crate::domain::problem::Code;
use crate::domain::resource::Resource;
use crate::http::problem::Problem;

/// `GET /-/problems/{code}`: the explanation of the code, as plain text.
pub async fn show(Path(code): Path<String>) -> Result<String, Problem> {
    let code = Code::ALL
        .iter()
        .find(|known| known.as_str() == code)
        .ok_or_else(|| Problem::not_found(Resource::ProblemPage))?;
    Ok(format!(
        "{}: {} ({})\n\n{}\n",
        code.as_str(),
        code.title(),
        code.status(),
        code.explanation().trim()
    ))
}
