//! k6, the OpenTelemetry Collector and Prometheus: from a variable, the cache,
//! PATH, an official release, or built once from the pinned Go modules. And Tempo,
//! which is taken if it is there, downloaded if a version was asked for, and never
//! built.

mod build;
mod cache;
mod command;
mod download;
mod get;
mod inspect;
mod pin;
mod progress;
mod release;
mod resolve;
mod tempo;
mod unpack;

use std::fmt;
use std::path::PathBuf;

use crate::process::Signal;

pub use build::BuildError;
pub use command::ToolsArgs;
pub use download::DownloadError;
pub use inspect::{InspectError, Version};
pub use progress::Progress;
pub use release::Product;
pub use resolve::{MissingTool, ResolvedTool, ToolError, ToolStatus, Toolbox};
pub use tempo::{Tempo, TempoStatus};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    K6,
    Otelcol,
    Prometheus,
}

impl Tool {
    pub const ALL: [Tool; 3] = [Tool::K6, Tool::Otelcol, Tool::Prometheus];

    /// The name of its binary.
    pub fn name(self) -> &'static str {
        match self {
            Tool::K6 => "k6",
            Tool::Otelcol => "otelcol",
            Tool::Prometheus => "prometheus",
        }
    }

    /// The variable that takes a binary of the user's own.
    pub fn variable(self) -> &'static str {
        match self {
            Tool::K6 => "TEMPO_PERF_K6_BIN",
            Tool::Otelcol => "TEMPO_PERF_OTELCOL_BIN",
            Tool::Prometheus => "TEMPO_PERF_PROMETHEUS_BIN",
        }
    }

    /// Where to get a binary without building one.
    pub fn releases(self) -> &'static str {
        match self {
            Tool::K6 => "https://github.com/grafana/k6/releases",
            Tool::Otelcol => {
                "https://github.com/open-telemetry/opentelemetry-collector-releases/releases"
            }
            Tool::Prometheus => "https://github.com/prometheus/prometheus/releases",
        }
    }

    /// The oldest version that does what we need.
    pub fn oldest(self) -> Version {
        match self {
            Tool::K6 => Version::new(1, 8, 0),
            Tool::Otelcol => Version::new(0, 120, 0),
            // The first whose native histograms need no flag; k6 writes them.
            Tool::Prometheus => Version::new(3, 9, 0),
        }
    }

    /// Names on PATH, the plainest first.
    fn names_on_path(self) -> &'static [&'static str] {
        match self {
            Tool::K6 => &["k6"],
            Tool::Otelcol => &["otelcol", "otelcol-contrib", "otelcol-k8s"],
            Tool::Prometheus => &["prometheus"],
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tool::K6 => "k6",
            Tool::Otelcol => "OpenTelemetry Collector",
            Tool::Prometheus => "Prometheus",
        })
    }
}

/// Where a tool came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Variable,
    Cache,
    Path,
    /// A release of the project itself, downloaded now or earlier.
    Release,
    Built,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Variable => "variable",
            Origin::Cache => "cache",
            Origin::Path => "PATH",
            Origin::Release => "release",
            Origin::Built => "built",
        })
    }
}

/// How a tool that is missing is got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Download,
    Build,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Download => "download",
            Way::Build => "build",
        })
    }
}

/// A signal came while something went on.
#[derive(Debug, thiserror::Error)]
#[error("{signal} while {doing}")]
pub struct Interrupted {
    signal: Signal,
    doing: String,
}

impl Interrupted {
    fn new(signal: Signal, doing: String) -> Self {
        Interrupted { signal, doing }
    }
}

/// A binary on PATH or in the cache that does not do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub path: PathBuf,
    pub reason: String,
}
