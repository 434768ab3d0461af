//! The environment of a target.

use std::path::Path;
use std::time::Duration;

use super::endpoint::EndpointEnvironment;
use super::kubernetes::{KubernetesEnvironment, KubernetesOptions};
use super::local::{LocalEnvironment, LocalOptions};
use super::{Environment, EnvironmentError};
use crate::error_chain::chain;
use crate::process::{Interrupt, Supervisor};
use crate::profile::Profile;
use crate::settings::{Settings, Target};
use crate::tools::{Progress, Tool, Toolbox};

/// What an environment is made from.
#[derive(Clone)]
pub struct Place<'a> {
    pub target: Target,
    pub settings: &'a Settings,
    /// Names the environment, and says what is set up in it.
    pub profile: &'a Profile,
    /// Tells what is set up for this run from what is of others.
    pub run: u32,
    /// How long a k6 run may take.
    pub job_timeout: Duration,
    /// Whether `profile` is the load to come, or only says what to set up.
    pub load_is_known: bool,
    /// The `tempo-perf` program.
    pub tempo_perf: &'a Path,
    pub supervisor: &'a Supervisor,
    pub interrupt: &'a Interrupt,
}

impl Place<'_> {
    /// Finds tools for this place, and gets them with progress on stderr.
    pub fn toolbox(&self) -> Toolbox {
        Toolbox::new(
            self.settings.tools.clone(),
            self.supervisor.clone(),
            self.interrupt.clone(),
            Progress::stderr(),
        )
    }
}

/// Prepares the environment of a target: tools are found or got, and nothing
/// runs yet.
pub async fn make(place: &Place<'_>) -> Result<Box<dyn Environment>, EnvironmentError> {
    let failed = |err: &dyn std::error::Error| match place.interrupt.signal() {
        Some(signal) => EnvironmentError::Interrupted(signal),
        None => EnvironmentError::Failed(chain(err)),
    };
    let toolbox = place.toolbox();
    let (supervisor, interrupt) = (place.supervisor.clone(), place.interrupt.clone());
    match place.target {
        Target::Kubernetes => {
            let options = KubernetesOptions::new(
                place.settings,
                place.profile,
                place.run,
                place.job_timeout,
                place.load_is_known,
            )?;
            let environment = KubernetesEnvironment::new(options, &supervisor, interrupt).await?;
            Ok(Box::new(environment))
        }
        Target::Endpoint => {
            let tools = toolbox
                .resolve_all(&[Tool::K6, Tool::Prometheus])
                .await
                .map_err(|err| failed(&err))?;
            let name = &place.profile.name;
            let environment =
                EndpointEnvironment::new(place.settings, name, tools, supervisor, interrupt)?;
            Ok(Box::new(environment))
        }
        Target::Local => {
            let (tools, tempo) = toolbox.resolve_local().await.map_err(|err| failed(&err))?;
            let options = LocalOptions::new(
                place.settings,
                place.profile,
                tools,
                tempo,
                place.tempo_perf,
            )?;
            Ok(Box::new(LocalEnvironment::new(
                options, supervisor, interrupt,
            )?))
        }
    }
}
