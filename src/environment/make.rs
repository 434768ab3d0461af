//! The environment of a plan.

use std::path::Path;

use super::endpoint::EndpointEnvironment;
use super::kubernetes::KubernetesEnvironment;
use super::local::LocalEnvironment;
use super::{Environment, EnvironmentError};
use crate::error_chain::chain;
use crate::plan::{Plan, Site};
use crate::process::{Interrupt, Supervisor};
use crate::settings::ToolSettings;
use crate::tools::{Progress, Tool, Toolbox};

/// What starts, watches and ends the programs of a run.
#[derive(Clone, Copy)]
pub struct Programs<'a> {
    /// The `tempo-perf` program.
    pub tempo_perf: &'a Path,
    pub supervisor: &'a Supervisor,
    pub interrupt: &'a Interrupt,
}

impl Programs<'_> {
    /// Finds tools, and gets them with progress on stderr.
    pub fn toolbox(&self, settings: &ToolSettings) -> Toolbox {
        Toolbox::new(
            settings.clone(),
            self.supervisor.clone(),
            self.interrupt.clone(),
            Progress::stderr(),
        )
    }
}

/// Prepares the environment of a plan: tools are found or got, and nothing
/// runs yet.
pub async fn make(
    plan: &Plan,
    programs: Programs<'_>,
) -> Result<Box<dyn Environment>, EnvironmentError> {
    let failed = |err: &dyn std::error::Error| match programs.interrupt.signal() {
        Some(signal) => EnvironmentError::Interrupted(signal),
        None => EnvironmentError::Failed(chain(err)),
    };
    let toolbox = programs.toolbox(&plan.tools);
    let (supervisor, interrupt) = (programs.supervisor.clone(), programs.interrupt.clone());
    match &plan.site {
        Site::Kubernetes(site) => Ok(Box::new(
            KubernetesEnvironment::new(plan, site, &supervisor, interrupt).await?,
        )),
        Site::Endpoint(site) => {
            let tools = toolbox
                .resolve_all(&[Tool::K6, Tool::Prometheus])
                .await
                .map_err(|err| failed(&err))?;
            Ok(Box::new(EndpointEnvironment::new(
                plan, site, tools, supervisor, interrupt,
            )?))
        }
        Site::Local(site) => {
            let (tools, tempo) = toolbox.resolve_local().await.map_err(|err| failed(&err))?;
            let backend = super::local::Backend::choose(site, tempo, programs.tempo_perf)?;
            Ok(Box::new(LocalEnvironment::new(
                plan, backend, tools, supervisor, interrupt,
            )?))
        }
    }
}
