//! Renders mail templates in sandboxes, where the CPU time is charged to the invocation and a
//! rendering can be stopped.
//!
//! The renderer is a component of the host (`renderer/`) that is embedded and compiled once. Each
//! rendering has a fresh sandbox, because values and templates of one tenant must not be seen by
//! another one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::Engine;

use super::embedded::{CallFailure, Data, Embedded, Payer, Slices, begin, memory, new_store};
use super::loaded::ComponentCache;
use super::placement::RunQueues;
use crate::capability::{RenderJob, RenderTemplates};
use crate::components::LoadError;
use crate::domain::limits::Limits;
use crate::domain::template::{RenderError, Rendered, Templates};
use crate::domain::units::ByteSize;
use bindings::{Failure, File, Mail, Problem, RendererPre};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../renderer/wit",
        world: "renderer",
        exports: { default: async },
    });
}

/// The renderer, a WebAssembly component.
const COMPONENT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/renderer.wasm"));

/// The most bytes that one call may return: a mail, and the little around it.
const MAX_LIFTED: usize = 2 * mortise_renderer::MAX_MAIL_BYTES;

/// The number of templates that are rendered at once. The next ones wait.
const RENDERINGS: usize = 16;

/// The number of uploads whose templates are checked at once.
const UPLOADS: usize = 2;

/// The most sandboxes of renderers.
pub(super) const SANDBOXES: usize = RENDERINGS + UPLOADS;

/// The CPU time for checking all templates of an upload.
const UPLOAD_CPU: Duration = Duration::from_secs(5);

/// The wall time for checking the templates of an upload, including waiting for other uploads.
const UPLOAD_WALL: Duration = Duration::from_secs(60);

/// The renderer of mail templates, with its sandboxes.
pub struct Renderers {
    embedded: Arc<Embedded<RendererPre<Data>>>,
    renderings: Semaphore,
    slices: Slices,
    uploads: Semaphore,
    upload_slices: Slices,
}

/// Why the templates of an upload cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A template is not valid. The text begins with the file and the line.
    #[error("{0}")]
    Refused(String),
    /// The renderer could not start in time, or no sandbox is free. A later attempt may succeed.
    #[error("the renderer is not available: {0}")]
    Unavailable(String),
    /// The host failed.
    #[error("the renderer cannot be used: {0}")]
    Host(String),
}

impl Renderers {
    /// A renderer. `engine` has a pool for [`SANDBOXES`].
    pub(super) fn new(
        engine: Engine,
        components: Arc<ComponentCache>,
        queues: Arc<RunQueues>,
        background: Handle,
    ) -> Self {
        let slices = || Slices::new(queues.clone(), background.clone());
        let (slices, upload_slices) = (slices(), slices());
        let embedded = Embedded::new(
            "renderer",
            COMPONENT,
            RendererPre::new,
            engine,
            components,
            background,
        );
        Self {
            embedded: Arc::new(embedded),
            renderings: Semaphore::new(RENDERINGS),
            slices,
            uploads: Semaphore::new(UPLOADS),
            upload_slices,
        }
    }

    /// Loads the renderer in the background, so that the first mail need not wait for it.
    pub fn prepare(&self) {
        self.embedded.prepare();
    }

    /// Checks the templates of an upload in a sandbox. `limits` are the limits of the version.
    pub async fn try_templates(&self, templates: &Templates, limits: &Limits) -> Result<(), TemplateError> {
        if templates.is_empty() {
            return Ok(());
        }
        let host = |error: String| TemplateError::Host(error);
        // The first start compiles the renderer, with a time limit of its own.
        self.embedded
            .load()
            .await
            .map_err(|error: LoadError| TemplateError::Unavailable(error.to_string()))?;
        let files = templates.files().iter();
        let files: Vec<File> = files.map(|(name, text)| file(name, text)).collect();
        let memory = memory(limits);
        let check = async {
            let _permit = self
                .uploads
                .acquire()
                .await
                .map_err(|error| host(error.to_string()))?;
            let payer = self.upload_slices.payer(Arc::default(), UPLOAD_CPU);
            let (embedded, paid) = (self.embedded.clone(), payer.clone());
            let work = async move { check(&embedded, &files, memory, &paid).await };
            let checked = self.upload_slices.run(payer, work).await;
            checked.unwrap_or_else(|error| Err(host(error.to_string())))
        };
        let checked = tokio::time::timeout(UPLOAD_WALL, check).await;
        checked.unwrap_or_else(|_| {
            Err(TemplateError::Unavailable(format!(
                "the templates were not checked within {UPLOAD_WALL:?}"
            )))
        })
    }
}

#[async_trait]
impl RenderTemplates for Renderers {
    async fn render(&self, job: RenderJob) -> Result<Rendered, RenderError> {
        let unavailable = |error: String| RenderError::Unavailable(error);
        let _permit = self
            .renderings
            .acquire()
            .await
            .map_err(|error| unavailable(error.to_string()))?;
        self.embedded
            .load()
            .await
            .map_err(|error: LoadError| unavailable(error.to_string()))?;
        let payer = self.slices.payer(job.cpu_time.clone(), job.limits.cpu.0);
        let (embedded, paid) = (self.embedded.clone(), payer.clone());
        let work = async move { render(&embedded, &job, &paid).await };
        let rendered = self.slices.run(payer, work).await;
        rendered.unwrap_or_else(|error| Err(unavailable(error.to_string())))
    }
}

async fn check(
    embedded: &Embedded<RendererPre<Data>>,
    files: &[File],
    memory: ByteSize,
    payer: &Payer,
) -> Result<(), TemplateError> {
    let pre = embedded
        .bindings()
        .await
        .map_err(|error| TemplateError::Host(error.to_string()))?;
    let mut store = new_store(pre.engine(), memory.as_usize());
    begin(&mut store, payer, MAX_LIFTED);
    let checked = async {
        let renderer = pre.instantiate_async(&mut store).await?;
        renderer.call_check(&mut store, files).await
    };
    let error = match checked.await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(problem)) => return Err(TemplateError::Refused(described(&problem))),
        Err(error) => error,
    };
    let refused = |problem: String| Err(TemplateError::Refused(format!("*: {problem}")));
    match CallFailure::of(&error, store.data().was_refused_memory()) {
        CallFailure::Cpu => refused(format!(
            "checking the templates takes more than {UPLOAD_CPU:?} of CPU time; make them smaller"
        )),
        CallFailure::Memory => refused(format!(
            "checking the templates needs more than {memory} of memory; make them smaller"
        )),
        CallFailure::Stack => refused("a template is nested too deep".to_owned()),
        CallFailure::Other(problem) => refused(format!("checking the templates was stopped: {problem}")),
        CallFailure::NoInstance => Err(TemplateError::Unavailable(format!("{error:#}"))),
    }
}

async fn render(
    embedded: &Embedded<RendererPre<Data>>,
    job: &RenderJob,
    payer: &Payer,
) -> Result<Rendered, RenderError> {
    let files = job.templates.files_of(&job.template)?.into_iter();
    let files: Vec<File> = files.map(|(name, text)| file(name, text)).collect();
    let pre = embedded
        .bindings()
        .await
        .map_err(|error| RenderError::Unavailable(error.to_string()))?;
    let memory = memory(&job.limits);
    let mut store = new_store(pre.engine(), memory.as_usize());
    begin(&mut store, payer, MAX_LIFTED);
    let rendered = async {
        let renderer = pre.instantiate_async(&mut store).await?;
        renderer
            .call_render(&mut store, &files, &job.template, &job.values)
            .await
    };
    let error = match rendered.await {
        Ok(Ok(Mail { subject, text, html })) => return Ok(Rendered { subject, text, html }),
        Ok(Err(Failure::Values(why))) => return Err(RenderError::Values(why)),
        Ok(Err(Failure::Failed(why))) => return Err(RenderError::Failed(why)),
        Ok(Err(Failure::Limit(why))) => return Err(RenderError::Limit(why)),
        Err(error) => error,
    };
    Err(match CallFailure::of(&error, store.data().was_refused_memory()) {
        CallFailure::Cpu => RenderError::Limit(format!(
            "with it, the invocation takes more than its {:?} of CPU time",
            payer.cpu
        )),
        CallFailure::Memory => RenderError::Limit(format!("it needs more than {memory} of memory")),
        CallFailure::Stack => RenderError::Limit("it is nested too deep".to_owned()),
        CallFailure::Other(problem) => RenderError::Failed(format!("the template was stopped: {problem}")),
        CallFailure::NoInstance => RenderError::Unavailable("all sandboxes are in use".to_owned()),
    })
}

fn file(name: &str, text: &str) -> File {
    File {
        name: name.to_owned(),
        text: text.to_owned(),
    }
}

fn described(problem: &Problem) -> String {
    match problem.line {
        Some(line) => format!("{}:{line}: {}", problem.file, problem.message),
        None => format!("{}: {}", problem.file, problem.message),
    }
}
