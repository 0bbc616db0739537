//! Renders the mail templates of plugins. The runtime, which has the sandboxes, does the work.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use super::{ActiveVersion, CpuTime};
use crate::domain::limits::Limits;
use crate::domain::template::{RenderError, Rendered, Templates};

/// A template to be rendered.
#[derive(Clone, Debug)]
pub struct RenderJob {
    /// The templates of the version.
    pub templates: Arc<Templates>,
    /// The name of the template.
    pub template: String,
    /// The values, a JSON object. The guest controls it.
    pub values: String,
    /// The limits of the invocation, whose CPU time and memory rendering may use.
    pub limits: Arc<Limits>,
    /// The CPU time of the invocation, which rendering adds to.
    pub cpu_time: Arc<CpuTime>,
}

/// Renders templates under limits of time and memory.
#[async_trait]
pub trait RenderTemplates: Send + Sync {
    /// Renders a template.
    async fn render(&self, job: RenderJob) -> Result<Rendered, RenderError>;
}

/// The renderer of all invocations. The runtime connects it when it starts.
#[derive(Default)]
pub struct Renderer {
    connected: OnceLock<Arc<dyn RenderTemplates>>,
}

impl Renderer {
    /// A renderer that is connected already.
    pub fn of(renderer: Arc<dyn RenderTemplates>) -> Self {
        let own = Self::default();
        own.connect(renderer);
        own
    }

    /// Connects the renderer. Only the first call has an effect.
    pub fn connect(&self, renderer: Arc<dyn RenderTemplates>) {
        drop(self.connected.set(renderer));
    }

    /// Renders a template of a version. `values` is the text of a JSON object. The CPU time is
    /// added to `cpu_time`, the one of the invocation. The caller bounds the wall-clock time.
    pub async fn render(
        &self,
        active: &ActiveVersion,
        template: &str,
        values: &str,
        cpu_time: &Arc<CpuTime>,
    ) -> Result<Rendered, RenderError> {
        // This is checked here, so that a wrong name takes no sandbox.
        active.templates.files_of(template)?;
        let Some(renderer) = self.connected.get() else {
            return Err(RenderError::Unavailable("the host has no renderer".to_owned()));
        };
        let job = RenderJob {
            templates: active.templates.clone(),
            template: template.to_owned(),
            values: values.to_owned(),
            limits: active.limits.clone(),
            cpu_time: cpu_time.clone(),
        };
        renderer.render(job).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::testing;
    use crate::domain::grant::Grants;

    /// Returns the name and the values of each template.
    struct Echo;

    #[async_trait]
    impl RenderTemplates for Echo {
        async fn render(&self, job: RenderJob) -> Result<Rendered, RenderError> {
            Ok(Rendered {
                subject: job.template,
                text: job.values,
                html: None,
            })
        }
    }

    #[tokio::test]
    async fn a_known_template_is_rendered_and_an_unknown_one_takes_no_sandbox() {
        let mut invocation = testing::invocation(Limits::default(), Grants::default());
        let files = [("paid.subject", "Paid"), ("paid.txt", "Thanks")];
        let files = files.map(|(file, text)| (file.to_owned(), text.to_owned()));
        let active = Arc::make_mut(&mut invocation.active);
        active.templates = Arc::new(Templates::new(files.into()));
        let (active, cpu_time) = (&invocation.active, &invocation.cpu_time);

        let rendered = Renderer::of(Arc::new(Echo))
            .render(active, "paid", "{}", cpu_time)
            .await;
        assert_eq!(rendered.unwrap().subject, "paid");
        let unconnected = Renderer::default();
        let failed = unconnected.render(active, "other", "{}", cpu_time).await;
        assert!(matches!(failed, Err(RenderError::Unknown(_))), "{failed:?}");
        let failed = unconnected.render(active, "paid", "{}", cpu_time).await;
        assert!(matches!(failed, Err(RenderError::Unavailable(_))), "{failed:?}");
    }
}
