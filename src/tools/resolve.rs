//! Finding each tool, in the order variable, cache, PATH, build.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error_chain::chain;
use crate::process::{Interrupt, Supervisor};
use crate::settings::ToolSettings;

use super::build::{self, BuildError, Builder};
use super::inspect::{self, InspectError, Trust, Version};
use super::pin::Pin;
use super::{Origin, PassedOver, Progress, Tool};

const TEMPO_VARIABLE: &str = "TEMPO_PERF_TEMPO_BIN";

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{variable} does not name a binary that can be used")]
    Variable {
        variable: &'static str,
        #[source]
        source: InspectError,
    },
    #[error(transparent)]
    Build(#[from] BuildError),
}

impl ToolError {
    /// The signal that ended the search, if one did.
    pub fn signal(&self) -> Option<crate::process::Signal> {
        match self {
            ToolError::Build(BuildError::Interrupted { signal, .. }) => Some(*signal),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTool {
    pub tool: Tool,
    pub path: PathBuf,
    /// As the binary states it, or "unknown".
    pub version: String,
    pub origin: Origin,
    /// What lay on PATH and did not do.
    pub passed_over: Vec<PassedOver>,
}

/// A tool as it is, without building anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolStatus {
    Ready(ResolvedTool),
    ToBuild {
        tool: Tool,
        version: Version,
        passed_over: Vec<PassedOver>,
    },
}

/// A Tempo on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tempo {
    pub path: PathBuf,
    /// Unknown if it was built without one.
    pub version: Option<Version>,
    pub origin: Origin,
}

impl Tempo {
    pub fn major(&self) -> Option<u64> {
        self.version.map(|version| version.major)
    }
}

/// Finds and builds tools.
pub struct Toolbox {
    paths: ToolSettings,
    search_path: OsString,
    supervisor: Supervisor,
    interrupt: Interrupt,
    progress: Progress,
}

impl Toolbox {
    pub fn new(
        paths: ToolSettings,
        supervisor: Supervisor,
        interrupt: Interrupt,
        progress: Progress,
    ) -> Self {
        Toolbox {
            paths,
            search_path: std::env::var_os("PATH").unwrap_or_default(),
            supervisor,
            interrupt,
            progress,
        }
    }

    /// Searches other directories than those of PATH.
    pub fn search_path(mut self, search_path: impl Into<OsString>) -> Self {
        self.search_path = search_path.into();
        self
    }

    /// The tool, built if it is nowhere.
    pub async fn resolve(&self, tool: Tool) -> Result<ResolvedTool, ToolError> {
        match self.look(tool).await? {
            ToolStatus::Ready(found) => Ok(found),
            ToolStatus::ToBuild { passed_over, .. } => self.build(tool, passed_over).await,
        }
    }

    /// All of them, in the order given. They are looked for at once and built one
    /// after another: a Go build uses all cores, and the three share packages.
    pub async fn resolve_all(&self, tools: &[Tool]) -> Result<Vec<ResolvedTool>, ToolError> {
        let statuses = self.look_all(tools).await?;
        let mut resolved = Vec::with_capacity(tools.len());
        for status in statuses {
            resolved.push(match status {
                ToolStatus::Ready(found) => found,
                ToolStatus::ToBuild {
                    tool, passed_over, ..
                } => self.build(tool, passed_over).await?,
            });
        }
        Ok(resolved)
    }

    pub async fn look_all(&self, tools: &[Tool]) -> Result<Vec<ToolStatus>, ToolError> {
        futures::future::try_join_all(tools.iter().map(|tool| self.look(*tool))).await
    }

    /// Where the tool is, without building it.
    pub async fn look(&self, tool: Tool) -> Result<ToolStatus, ToolError> {
        if let Some(path) = self.setting(tool) {
            let version = inspect::inspect(tool, path, Trust::Chosen)
                .await
                .map_err(|source| ToolError::Variable {
                    variable: tool.variable(),
                    source,
                })?;
            return Ok(ready(
                tool,
                path.to_owned(),
                version,
                Origin::Variable,
                Vec::new(),
            ));
        }
        let pin = Pin::of(tool);
        let cached = build::cached(&self.paths.cache, &pin);
        // Asked for its version when it was built; not again in every run.
        if inspect::is_executable(&cached) {
            let version = Some(pin.version());
            return Ok(ready(tool, cached, version, Origin::Cache, Vec::new()));
        }
        let mut passed_over = Vec::new();
        for name in tool.names_on_path() {
            for path in build::on_path(&self.search_path, name) {
                match inspect::inspect(tool, &path, Trust::Found).await {
                    Ok(version) => {
                        return Ok(ready(tool, path, version, Origin::Path, passed_over));
                    }
                    Err(error) => passed_over.push(PassedOver {
                        path,
                        reason: chain(&error),
                    }),
                }
            }
        }
        Ok(ToolStatus::ToBuild {
            tool,
            version: pin.version(),
            passed_over,
        })
    }

    async fn build(
        &self,
        tool: Tool,
        passed_over: Vec<PassedOver>,
    ) -> Result<ResolvedTool, ToolError> {
        for passed in &passed_over {
            self.progress.line(&format!("not used: {}", passed.reason));
        }
        let pin = Pin::of(tool);
        let (path, origin) = self.builder().build(&pin).await?;
        Ok(ResolvedTool {
            tool,
            path: absolute(path),
            version: pin.version().to_string(),
            origin,
            passed_over,
        })
    }

    /// Whether a build of the tool could start: a Go that is new enough is there.
    pub async fn can_build(&self, tool: Tool) -> Result<(), ToolError> {
        self.builder().find_go(&Pin::of(tool)).await?;
        Ok(())
    }

    fn builder(&self) -> Builder<'_> {
        Builder {
            cache: &self.paths.cache,
            search_path: &self.search_path,
            supervisor: &self.supervisor,
            interrupt: &self.interrupt,
            progress: &self.progress,
        }
    }

    /// TEMPO_PERF_TEMPO_BIN, else a Grafana Tempo on PATH, else none.
    pub async fn find_tempo(&self) -> Result<Option<Tempo>, ToolError> {
        if let Some(path) = &self.paths.tempo {
            let version =
                inspect::inspect_tempo(path)
                    .await
                    .map_err(|source| ToolError::Variable {
                        variable: TEMPO_VARIABLE,
                        source,
                    })?;
            return Ok(Some(Tempo {
                path: absolute(path.clone()),
                version,
                origin: Origin::Variable,
            }));
        }
        for path in build::on_path(&self.search_path, "tempo") {
            match inspect::inspect_tempo(&path).await {
                Ok(version) => {
                    return Ok(Some(Tempo {
                        path,
                        version,
                        origin: Origin::Path,
                    }));
                }
                Err(error) => self.progress.line(&format!("not used: {}", chain(&error))),
            }
        }
        Ok(None)
    }

    fn setting(&self, tool: Tool) -> Option<&Path> {
        match tool {
            Tool::K6 => self.paths.k6.as_deref(),
            Tool::Otelcol => self.paths.otelcol.as_deref(),
            Tool::Prometheus => self.paths.prometheus.as_deref(),
        }
    }
}

fn ready(
    tool: Tool,
    path: PathBuf,
    version: Option<Version>,
    origin: Origin,
    passed_over: Vec<PassedOver>,
) -> ToolStatus {
    ToolStatus::Ready(ResolvedTool {
        tool,
        path: absolute(path),
        version: version.map_or_else(|| "unknown".to_owned(), |version| version.to_string()),
        origin,
        passed_over,
    })
}

/// A child may have another working directory than we.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
