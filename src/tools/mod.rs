//! k6, the OpenTelemetry Collector and Prometheus: from a variable, the cache of
//! built tools, PATH, or built once from the pinned Go modules. And Tempo, which
//! is taken if it is there and never built.

mod build;
mod command;
mod inspect;
mod pin;
mod progress;
mod resolve;

use std::fmt;
use std::path::PathBuf;

pub use build::BuildError;
pub use command::ToolsArgs;
pub use inspect::{InspectError, Version};
pub use progress::Progress;
pub use resolve::{ResolvedTool, Tempo, ToolError, ToolStatus, Toolbox};

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
            Tool::Prometheus => Version::new(3, 0, 0),
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
    Built,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Variable => "variable",
            Origin::Cache => "cache",
            Origin::Path => "PATH",
            Origin::Built => "built",
        })
    }
}

/// A binary on PATH that does not do, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub path: PathBuf,
    pub reason: String,
}
