//! How a framework is told what it needs to know.

use std::path::{Path, PathBuf};

use url::Url;

use super::{Framework, FrameworkError, K6Config, ResourceConfig, config};
use crate::error_chain::chain;
use crate::process::{Interrupt, Supervisor};
use crate::profile::{CollectorMode, Variant};
use crate::settings::{KubernetesSettings, Settings, StorageSettings, Target, resolve_target};

/// Levels above the running program at which `tempo-perf` is looked for: Cargo
/// puts examples and tests one directory below it.
const LEVELS: usize = 3;

/// Makes a [`Framework`].
#[derive(Debug, Clone)]
#[must_use = "build() makes the framework"]
pub struct FrameworkBuilder {
    name: String,
    settings: Option<Settings>,
    target: Option<Target>,
    endpoints: Option<(Option<Url>, Option<Url>)>,
    output: Option<PathBuf>,
    program: Option<PathBuf>,
    interrupt: Interrupt,
    collector: CollectorMode,
}

impl FrameworkBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            settings: None,
            target: None,
            endpoints: None,
            output: None,
            program: None,
            interrupt: Interrupt::manual(),
            collector: CollectorMode::default(),
        }
    }

    /// In place of what the environment variables say.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// In place of TEMPO_PERF_TARGET and what it makes of `auto`.
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// A Tempo that exists: its OTLP/HTTP receiver and its HTTP API, as
    /// TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT; the target becomes `endpoint`.
    pub fn endpoint(mut self, push: Option<Url>, query: Option<Url>) -> Self {
        self.endpoints = Some((push, query));
        self.target = Some(Target::Endpoint);
        self
    }

    /// The directory for logs and reports, in place of TEMPO_PERF_OUTPUT.
    pub fn output(mut self, dir: impl Into<PathBuf>) -> Self {
        self.output = Some(dir.into());
        self
    }

    /// The program `tempo-perf`: it watches over child processes, and is the
    /// built-in trace store. Without this it is looked for beside the running
    /// program and in the two directories above.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// What ends a run early. By default signals are left to the caller, and
    /// children end with this process; with [`Interrupt::install`] a first
    /// SIGINT ends the load in good order.
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Whether the collector queues and retries.
    pub fn collector(mut self, mode: CollectorMode) -> Self {
        self.collector = mode;
        self
    }

    /// # Errors
    /// A name that is no DNS label of at most 40 characters, malformed
    /// variables, and a `tempo-perf` that is nowhere.
    pub fn build(self) -> Result<Framework, FrameworkError> {
        config::profile(
            &self.name,
            Variant::Monolithic,
            &ResourceConfig::default(),
            self.collector,
            &K6Config::default(),
        )
        .map_err(FrameworkError::Invalid)?;
        let mut settings = match self.settings {
            Some(settings) => settings,
            None => from_variables()?,
        };
        if let Some((push, query)) = self.endpoints {
            settings.tempo_endpoint = push;
            settings.tempo_query_endpoint = query;
        }
        if let Some(output) = self.output {
            settings.output = output;
        }
        let target = self.target.unwrap_or_else(|| {
            let kubeconfig = std::env::var_os("KUBECONFIG");
            let in_cluster = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
            resolve_target(&settings, kubeconfig.as_deref(), in_cluster, None).0
        });
        let tempo_perf = match self.program {
            Some(path) if path.is_file() => path,
            Some(path) => {
                return Err(FrameworkError::NoProgram {
                    searched: vec![path],
                });
            }
            None => {
                let running = std::env::current_exe().map_err(|err| {
                    FrameworkError::Settings(format!("cannot tell where this program is: {err}"))
                })?;
                beside(&running)?
            }
        };
        crate::process::raise_open_files_limit()
            .map_err(|err| FrameworkError::Settings(chain(&err)))?;
        Ok(Framework {
            supervisor: Supervisor::new(&tempo_perf, settings.skip_cleanup),
            name: self.name,
            target,
            settings,
            tempo_perf,
            interrupt: self.interrupt,
            collector: self.collector,
            tempo: None,
            environment: None,
            collector_is_up: false,
            storage_is_up: false,
            run: crate::case::run_number(),
        })
    }
}

/// The variables that cases read, but for those of the load, the nodes and the
/// storage: what a program says in [`K6Config`] and [`ResourceConfig`] is what
/// it means.
fn from_variables() -> Result<Settings, FrameworkError> {
    let invocation = Settings::from_args(["tempo-perf".into()])
        .map_err(|err| FrameworkError::Settings(err.to_string()))?;
    let kubernetes = KubernetesSettings {
        node_selector: None,
        storage: StorageSettings::default(),
        ..invocation.settings.kubernetes.clone()
    };
    Ok(Settings {
        kubernetes,
        duration: None,
        size: None,
        mb_per_second: None,
        queries_per_second: None,
        vus_min: None,
        vus_max: None,
        trace_profile: None,
        ..invocation.settings
    })
}

fn beside(running: &Path) -> Result<PathBuf, FrameworkError> {
    let name = format!("tempo-perf{}", std::env::consts::EXE_SUFFIX);
    let dirs: Vec<&Path> = running.ancestors().skip(1).take(LEVELS).collect();
    dirs.iter()
        .map(|dir| dir.join(&name))
        .find(|path| path.is_file())
        .ok_or_else(|| FrameworkError::NoProgram {
            searched: dirs.into_iter().map(Path::to_owned).collect(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_from_where_cargo_puts_examples_and_tests() {
        let target = tempfile::tempdir().expect("a directory");
        let program = target.path().join("tempo-perf");
        std::fs::write(&program, "").expect("writable");
        for running in ["examples/framework", "deps/perf-0123", "own-program"] {
            let found = beside(&target.path().join(running)).expect("it is there");
            assert_eq!(found, program, "from {running}");
        }
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_the_option() {
        let error = Framework::builder("a-test")
            .settings(Settings::default())
            .program("/nowhere/tempo-perf")
            .build()
            .err()
            .expect("it is not there");
        let message = error.to_string();
        assert!(message.contains("/nowhere/tempo-perf"), "{message}");
        assert!(message.contains("FrameworkBuilder::program"), "{message}");
    }
}
