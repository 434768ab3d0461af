//! The processes of a local run: what each is started with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::configs::{Ports, TempoLine};
use crate::environment::{EnvironmentError, STORE_IS_NOT_TEMPO};
use crate::machine::Machine;
use crate::plan::LocalSite;
use crate::process::ChildSpec;
use crate::profile::Overrides;
use crate::report::Component;
use crate::tools::{Origin, Tempo};

/// A long-lived process of a local run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    Tempo,
    Collector,
    Prometheus,
}

impl Process {
    pub const ALL: [Process; 3] = [Process::Tempo, Process::Collector, Process::Prometheus];

    /// Its name in file names.
    pub fn file_name(self) -> &'static str {
        match self {
            Process::Tempo => "tempo",
            Process::Collector => "otelcol",
            Process::Prometheus => "prometheus",
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Process::Tempo => "Tempo",
            Process::Collector => "OpenTelemetry Collector",
            Process::Prometheus => "Prometheus",
        })
    }
}

/// What stands where Tempo stands.
#[derive(Debug, Clone)]
pub enum Backend {
    Tempo {
        path: PathBuf,
        version: String,
        line: TempoLine,
        origin: String,
    },
    /// The trace store of this project, for machines without a Tempo.
    TraceStore {
        /// The `tempo-perf` binary.
        path: PathBuf,
        memory_bytes: u64,
        /// Faults for tests of the harness itself.
        faults: Vec<String>,
    },
}

/// Bytes of memory that the store needs for a byte of pushed data, with room
/// to spare: see the README of the store's limits.
const STORE_BYTES_PER_PUSHED_BYTE: f64 = 2.0;

/// The store's share of the machine's memory, between these bounds.
const STORE_MEMORY_SHARE: u64 = 4;
const STORE_MEMORY_MIN: u64 = 256 << 20;
const STORE_MEMORY_MAX: u64 = 4 << 30;

impl Backend {
    /// Tempo where one was found, else the built-in store.
    pub fn choose(
        site: &LocalSite,
        tempo: Option<Tempo>,
        tempo_perf: &Path,
    ) -> Result<Self, EnvironmentError> {
        let Some(tempo) = tempo else {
            let memory = Machine::gather().memory_bytes.unwrap_or(STORE_MEMORY_MIN);
            return Ok(Backend::TraceStore {
                path: tempo_perf.to_path_buf(),
                memory_bytes: (memory / STORE_MEMORY_SHARE)
                    .clamp(STORE_MEMORY_MIN, STORE_MEMORY_MAX),
                faults: site.store_faults.clone(),
            });
        };
        let line = TempoLine::of(&tempo.path, tempo.major()).map_err(EnvironmentError::Failed)?;
        Ok(Backend::Tempo {
            version: tempo
                .version
                .map(|version| version.to_string())
                .unwrap_or_default(),
            origin: match tempo.origin {
                Origin::Variable => "TEMPO_PERF_TEMPO_BIN".into(),
                other => other.to_string(),
            },
            path: tempo.path,
            line,
        })
    }

    /// Its name among the logs.
    pub(super) fn log_name(&self) -> &'static str {
        match self {
            Backend::Tempo { .. } => "tempo",
            Backend::TraceStore { .. } => "trace-store",
        }
    }

    pub(super) fn spec(&self, ports: &Ports, config: &Path) -> ChildSpec {
        match self {
            Backend::Tempo { path, line, .. } => {
                let spec = ChildSpec::new("Tempo", path)
                    .arg(format!("-config.file={}", config.display()))
                    .arg("-target=all");
                match line {
                    // The ballast of 1 GiB is for servers.
                    TempoLine::V2 => spec.arg("-mem-ballast-size-mbs=0"),
                    TempoLine::V3 => spec,
                }
            }
            Backend::TraceStore {
                path,
                memory_bytes,
                faults,
            } => {
                let address = |port: u16| format!("127.0.0.1:{port}");
                let spec = ChildSpec::new("trace store", path)
                    .arg("trace-store")
                    .arg("--http")
                    .arg(address(ports.tempo_http))
                    .arg("--otlp-grpc")
                    .arg(address(ports.tempo_otlp_grpc))
                    .arg("--otlp-http")
                    .arg(address(ports.tempo_otlp_http))
                    .arg("--memory")
                    .arg(memory_bytes.to_string());
                faults
                    .iter()
                    .fold(spec, |spec, fault| spec.arg("--fault").arg(fault))
            }
        }
    }

    pub(super) fn component(&self) -> Component {
        match self {
            Backend::Tempo {
                path,
                version,
                origin,
                ..
            } => Component {
                name: "tempo".into(),
                version: version.clone(),
                origin: Some(format!("{} ({origin})", path.display())),
            },
            Backend::TraceStore { .. } => Component {
                name: "trace-store".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                origin: Some("built in".into()),
            },
        }
    }

    /// How old data must be before a search must find it: the time until an
    /// idle trace is cut, the interval at which that is looked for, and what
    /// the query frontend leaves out.
    pub(super) fn visibility_delay(&self, overrides: Option<&Overrides>) -> Duration {
        let second = Duration::from_secs(1);
        match self {
            Backend::TraceStore { .. } => second,
            Backend::Tempo {
                line: TempoLine::V3,
                ..
            } => 4 * second,
            Backend::Tempo {
                line: TempoLine::V2,
                ..
            } => {
                let tuning = overrides.and_then(|overrides| overrides.ingester.as_ref());
                let idle = tuning
                    .and_then(|tuning| tuning.trace_idle_period)
                    .unwrap_or(second);
                let check = tuning
                    .and_then(|tuning| tuning.flush_check_period)
                    .unwrap_or(second);
                idle + check + second
            }
        }
    }

    pub(super) fn readable_bytes(&self) -> Option<u64> {
        match self {
            Backend::Tempo { .. } => None,
            Backend::TraceStore { memory_bytes, .. } => {
                Some((*memory_bytes as f64 / STORE_BYTES_PER_PUSHED_BYTE) as u64)
            }
        }
    }

    pub(super) fn stand_in(&self) -> Option<String> {
        match self {
            Backend::Tempo { .. } => None,
            Backend::TraceStore { faults, .. } if faults.is_empty() => {
                Some(STORE_IS_NOT_TEMPO.into())
            }
            Backend::TraceStore { faults, .. } => Some(format!(
                "{STORE_IS_NOT_TEMPO}, with faults on purpose (TEMPO_PERF_STORE_FAULTS): {}",
                faults.join(", ")
            )),
        }
    }
}

pub(in crate::environment) fn prometheus_spec(
    program: &Path,
    config: &Path,
    data: &Path,
    port: u16,
) -> ChildSpec {
    ChildSpec::new("Prometheus", program)
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--web.enable-remote-write-receiver")
        // Else the first scrape comes 5 s after the start.
        .arg("--scrape.discovery-reload-interval=100ms")
        .arg("--log.level=warn")
}
