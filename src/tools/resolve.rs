//! Finding each tool, in the order variable, cache, PATH.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error_chain::chain;
use crate::process::{Interrupt, Signal, Supervisor};
use crate::settings::{ToolSettings, ToolSource};

use super::build::{self, BuildError};
use super::cache::Cached;
use super::inspect::{self, InspectError, Trust, Version};
use super::pin::Pin;
use super::release::{Platform, Product, Release};
use super::{DownloadError, Interrupted, Origin, PassedOver, Progress, Tool, Way};

#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{variable} does not name a binary that can be used")]
    Variable {
        variable: &'static str,
        #[source]
        source: InspectError,
    },
    #[error("{}", not_downloaded(.product, .version, .error))]
    Download {
        product: Product,
        version: String,
        error: Box<DownloadError>,
    },
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error("{}", neither(.download, .build, .tool))]
    NeitherWay {
        tool: Tool,
        download: Box<DownloadError>,
        build: Box<BuildError>,
    },
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// One line or more for each.
    #[error("{}", .0.iter().map(|error| chain(error)).collect::<Vec<_>>().join("\n"))]
    Several(Vec<ToolError>),
}

impl ToolError {
    /// The signal that ended the search, if one did.
    pub fn signal(&self) -> Option<Signal> {
        match self {
            ToolError::Build(BuildError::Interrupted(interrupted))
            | ToolError::Interrupted(interrupted) => Some(interrupted.signal),
            _ => None,
        }
    }

    /// What came out of each, or all errors as one. A signal needs no company.
    pub(super) fn all<T>(
        outcomes: impl IntoIterator<Item = Result<T, ToolError>>,
    ) -> Result<Vec<T>, ToolError> {
        let mut good = Vec::new();
        let mut errors = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(value) => good.push(value),
                Err(error) if error.signal().is_some() => return Err(error),
                Err(error) => errors.push(error),
            }
        }
        match errors.pop() {
            None => Ok(good),
            Some(only) if errors.is_empty() => Err(only),
            Some(last) => {
                errors.push(last);
                Err(ToolError::Several(errors))
            }
        }
    }
}

fn not_downloaded(product: &Product, version: &str, why: &DownloadError) -> String {
    let instead = match product {
        Product::Tool(tool) => format!(
            "name another address in {}, let it be built with --tools auto, {}",
            product.address_variable(),
            build::alternative(tool)
        ),
        Product::Tempo => format!(
            "name another address in {}, or set TEMPO_PERF_TEMPO_BIN to a binary of your own, or \
             leave the version out and have `tempo` on PATH",
            product.address_variable()
        ),
    };
    format!(
        "{product} {version} cannot be downloaded: {}; {instead}",
        chain(why)
    )
}

fn neither(download: &DownloadError, build: &BuildError, tool: &Tool) -> String {
    format!(
        "{}\n  not downloaded: {} ({} names another address)",
        chain(build),
        chain(download),
        Product::Tool(*tool).address_variable()
    )
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedTool {
    pub tool: Tool,
    pub path: PathBuf,
    /// As the binary states it, or "unknown".
    pub version: String,
    pub origin: Origin,
    /// What lay in the cache or on PATH and did not do.
    pub passed_over: Vec<PassedOver>,
}

/// A tool that is nowhere on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingTool {
    pub tool: Tool,
    pub version: Version,
    /// What is tried first.
    pub way: Way,
    pub passed_over: Vec<PassedOver>,
}

/// A tool as it is, before anything is downloaded or built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolStatus {
    Ready(ResolvedTool),
    Missing(MissingTool),
}

/// Finds tools, and gets those that are missing.
pub struct Toolbox {
    pub(super) settings: ToolSettings,
    pub(super) search_path: OsString,
    pub(super) supervisor: Supervisor,
    pub(super) interrupt: Interrupt,
    pub(super) progress: Progress,
}

impl Toolbox {
    pub fn new(
        settings: ToolSettings,
        supervisor: Supervisor,
        interrupt: Interrupt,
        progress: Progress,
    ) -> Self {
        Toolbox {
            settings,
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

    /// Where the tools are, without getting any. All that is wrong is told at once.
    pub async fn look_all(&self, tools: &[Tool]) -> Result<Vec<ToolStatus>, ToolError> {
        let looks = futures::future::join_all(tools.iter().map(|tool| self.look(*tool)));
        ToolError::all(looks.await)
    }

    /// Where the tool is, without getting it.
    pub async fn look(&self, tool: Tool) -> Result<ToolStatus, ToolError> {
        let ready = |path, version: Option<Version>, origin, passed_over| {
            let version = version.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
            ToolStatus::Ready(ResolvedTool {
                tool,
                path: absolute(path),
                version,
                origin,
                passed_over,
            })
        };
        if let Some(path) = self.setting(tool) {
            let version = inspect::inspect(tool, path, Trust::Chosen)
                .await
                .map_err(|source| ToolError::Variable {
                    variable: tool.variable(),
                    source,
                })?;
            let path = path.to_owned();
            return Ok(ready(path, version, Origin::Variable, Vec::new()));
        }
        let pin = Pin::of(tool);
        let source = self.settings.source;
        let release = (source != ToolSource::Build)
            .then(|| self.release(Product::Tool(tool), &pin.version().to_string()))
            .flatten();
        let build = (source != ToolSource::Download).then(|| pin.entry(&self.settings.cache));
        let way = match release {
            None if source != ToolSource::Download => Way::Build,
            _ => Way::Download,
        };
        let mut passed_over = Vec::new();
        let release = release.map(|release| release.entry(&self.settings.cache));
        let kept = [(release, Origin::Release), (build, Origin::Cache)];
        for (entry, origin) in kept {
            let Some(entry) = entry else { continue };
            // Asked for its version when it was kept; not again in every run.
            match entry.look().await {
                Cached::Nothing => {}
                Cached::Sound(path) => {
                    return Ok(ready(path, Some(pin.version()), origin, passed_over));
                }
                Cached::Spoilt(path, reason) => passed_over.push(PassedOver { path, reason }),
            }
        }
        for name in tool.names_on_path() {
            for path in build::on_path(&self.search_path, name) {
                match inspect::inspect(tool, &path, Trust::Found).await {
                    Ok(version) => {
                        return Ok(ready(path, version, Origin::Path, passed_over));
                    }
                    Err(error) => passed_over.push(PassedOver {
                        path,
                        reason: chain(&error),
                    }),
                }
            }
        }
        Ok(ToolStatus::Missing(MissingTool {
            tool,
            version: pin.version(),
            way,
            passed_over,
        }))
    }

    /// The release for this machine, if there is one.
    pub(super) fn release(&self, product: Product, version: &str) -> Option<Release> {
        let addresses = &self.settings.releases;
        let base = match product {
            Product::Tool(Tool::K6) => &addresses.k6,
            Product::Tool(Tool::Otelcol) => &addresses.otelcol,
            Product::Tool(Tool::Prometheus) => &addresses.prometheus,
            Product::Tempo => &addresses.tempo,
        };
        Release::of(product, version, base, Platform::HERE)
    }

    fn setting(&self, tool: Tool) -> Option<&Path> {
        match tool {
            Tool::K6 => self.settings.k6.as_deref(),
            Tool::Otelcol => self.settings.otelcol.as_deref(),
            Tool::Prometheus => self.settings.prometheus.as_deref(),
        }
    }
}

/// A child may have another working directory than we.
pub(super) fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}
