//! What users say about k6, the collector, Prometheus and a local Tempo.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};
use url::Url;

use super::malformed::Unfit;
use super::{given, values};

// Where the releases of each project are; below it `v1.8.1/FILE`.
const K6_RELEASES: &str = "https://github.com/grafana/k6/releases/download";
const OTELCOL_RELEASES: &str =
    "https://github.com/open-telemetry/opentelemetry-collector-releases/releases/download";
const PROMETHEUS_RELEASES: &str = "https://github.com/prometheus/prometheus/releases/download";
const TEMPO_RELEASES: &str = "https://github.com/grafana/tempo/releases/download";

/// Binaries of the user's own, and how the others are got.
#[derive(Debug, Clone, Args)]
pub struct ToolSettings {
    /// k6 to use; found on PATH or got by --tools when absent, as are the collector and Prometheus
    #[arg(id = "k6-bin", long, env = "TEMPO_PERF_K6_BIN")]
    #[arg(value_name = "FILE")]
    pub k6: Option<PathBuf>,
    /// OpenTelemetry Collector to use
    #[arg(id = "otelcol-bin", long, env = "TEMPO_PERF_OTELCOL_BIN")]
    #[arg(value_name = "FILE")]
    pub otelcol: Option<PathBuf>,
    /// Prometheus to use
    #[arg(id = "prometheus-bin", long, env = "TEMPO_PERF_PROMETHEUS_BIN")]
    #[arg(value_name = "FILE")]
    pub prometheus: Option<PathBuf>,
    /// Tempo to run for the local target [default: tempo on PATH, else the built-in trace store]
    #[arg(id = "tempo-bin", long, env = "TEMPO_PERF_TEMPO_BIN")]
    #[arg(value_name = "FILE")]
    pub tempo: Option<PathBuf>,
    /// Release of Tempo to download and run for the local target, for example 3.0.3
    #[arg(id = "tempo-version", long, env = "TEMPO_PERF_TEMPO_VERSION")]
    #[arg(value_name = "VERSION", value_parser = release_number)]
    pub tempo_version: Option<String>,
    /// How tools are got: download (the projects' releases), build (with Go), or auto: download,
    /// and build what cannot be downloaded
    #[arg(id = "tools", long, env = "TEMPO_PERF_TOOLS", default_value = "auto")]
    #[arg(value_name = "HOW", value_parser = values::word::<ToolSource>)]
    pub source: ToolSource,
    // Empty until the user's directories are known.
    /// Where downloaded and built tools are kept [default: ~/.cache/tempo-perf/tools]
    #[arg(id = "tools-dir", long, env = "TEMPO_PERF_TOOLS_DIR")]
    #[arg(default_value = "", value_name = "DIR")]
    #[arg(value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub cache: PathBuf,
    #[command(flatten)]
    pub releases: ReleaseAddresses,
}

/// Nothing was said; the cache, which depends on the user, is left empty.
impl Default for ToolSettings {
    fn default() -> Self {
        given::defaults()
    }
}

/// How a tool is got that no variable names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ToolSource {
    /// Downloaded, or built where that does not work.
    Auto,
    Download,
    Build,
}

/// Where each tool is downloaded from.
#[derive(Debug, Clone, Args)]
pub struct ReleaseAddresses {
    /// Where k6 is downloaded from, for a mirror
    #[arg(id = "k6-releases", long, env = "TEMPO_PERF_K6_RELEASES")]
    #[arg(default_value = K6_RELEASES, value_name = "URL", value_parser = release_address)]
    pub k6: Url,
    /// Where the collector is downloaded from
    #[arg(id = "otelcol-releases", long, env = "TEMPO_PERF_OTELCOL_RELEASES")]
    #[arg(default_value = OTELCOL_RELEASES, value_name = "URL", value_parser = release_address)]
    pub otelcol: Url,
    /// Where Prometheus is downloaded from
    #[arg(
        id = "prometheus-releases",
        long,
        env = "TEMPO_PERF_PROMETHEUS_RELEASES"
    )]
    #[arg(default_value = PROMETHEUS_RELEASES, value_name = "URL", value_parser = release_address)]
    pub prometheus: Url,
    /// Where Tempo is downloaded from
    #[arg(id = "tempo-releases", long, env = "TEMPO_PERF_TEMPO_RELEASES")]
    #[arg(default_value = TEMPO_RELEASES, value_name = "URL", value_parser = release_address)]
    pub tempo: Url,
}

/// As the flag and the variable take it.
impl Default for ReleaseAddresses {
    fn default() -> Self {
        given::defaults()
    }
}

fn release_address(text: &str) -> Result<Url, Unfit> {
    let expected = "an http:// or https:// URL with v1.2.3/FILE below it, as on a release page";
    values::value(text, expected, values::http_url)
}

/// `2.10.8`, `v3.0.3` or `3.1.0-rc.0`, without the `v`. It becomes part of a URL
/// and of a path.
fn release_number(text: &str) -> Result<String, Unfit> {
    let expected = "a release of Grafana Tempo, for example 2.10.8 or 3.0.3";
    values::value(text, expected, |text| {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (numbers, suffix) = text.split_once('-').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
        let is_word =
            |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric());
        let numbers: Vec<&str> = numbers.split('.').collect();
        let is_release = numbers.len() == 3
            && numbers.into_iter().all(is_number)
            && suffix.split('.').all(is_word);
        if is_release {
            Ok(text.to_owned())
        } else {
            Err(String::new())
        }
    })
}
