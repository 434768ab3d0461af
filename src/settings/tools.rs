//! What users say about k6, the collector, Prometheus and a local Tempo.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::options;
use super::parse::{Given, http_url};

/// Where the releases of each project are; below it `v1.8.1/FILE`.
pub const K6_RELEASES: &str = "https://github.com/grafana/k6/releases/download";
pub const OTELCOL_RELEASES: &str =
    "https://github.com/open-telemetry/opentelemetry-collector-releases/releases/download";
pub const PROMETHEUS_RELEASES: &str = "https://github.com/prometheus/prometheus/releases/download";
pub const TEMPO_RELEASES: &str = "https://github.com/grafana/tempo/releases/download";

/// Binaries of the user's own, and how the others are got.
#[derive(Debug, Clone, Default)]
pub struct ToolSettings {
    /// TEMPO_PERF_{K6,OTELCOL,PROMETHEUS,TEMPO}_BIN.
    pub k6: Option<PathBuf>,
    pub otelcol: Option<PathBuf>,
    pub prometheus: Option<PathBuf>,
    pub tempo: Option<PathBuf>,
    /// TEMPO_PERF_TEMPO_VERSION: the release to download as the local Tempo.
    pub tempo_version: Option<String>,
    /// TEMPO_PERF_TOOLS.
    pub source: ToolSource,
    pub releases: ReleaseAddresses,
    /// TEMPO_PERF_TOOLS_DIR, else `$XDG_CACHE_HOME/tempo-perf/tools`.
    pub cache: PathBuf,
}

/// How a tool is got that no variable names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolSource {
    /// Downloaded, or built where that does not work.
    #[default]
    Auto,
    Download,
    Build,
}

/// TEMPO_PERF_{K6,OTELCOL,PROMETHEUS,TEMPO}_RELEASES.
#[derive(Debug, Clone)]
pub struct ReleaseAddresses {
    pub k6: Url,
    pub otelcol: Url,
    pub prometheus: Url,
    pub tempo: Url,
}

impl Default for ReleaseAddresses {
    fn default() -> Self {
        let address = |text| Url::parse(text).expect("a default address is a URL");
        Self {
            k6: address(K6_RELEASES),
            otelcol: address(OTELCOL_RELEASES),
            prometheus: address(PROMETHEUS_RELEASES),
            tempo: address(TEMPO_RELEASES),
        }
    }
}

/// All of them but the default cache, which depends on the user.
pub(super) fn read(given: &mut Given) -> ToolSettings {
    let default = ReleaseAddresses::default();
    let mut address = |option, default| {
        let expected = |_: &str| {
            "an http:// or https:// URL with v1.2.3/FILE below it, as on a release page".to_owned()
        };
        given.value(option, expected, http_url).unwrap_or(default)
    };
    let releases = ReleaseAddresses {
        k6: address(&options::K6_RELEASES, default.k6),
        otelcol: address(&options::OTELCOL_RELEASES, default.otelcol),
        prometheus: address(&options::PROMETHEUS_RELEASES, default.prometheus),
        tempo: address(&options::TEMPO_RELEASES, default.tempo),
    };
    let tempo = given.path(&options::TEMPO_BIN);
    let tempo_version = given.value(
        &options::TEMPO_VERSION,
        |_| "a release of Grafana Tempo, for example 2.10.8 or 3.0.3".to_owned(),
        release_number,
    );
    if let (Some(_), Some(version)) = (&tempo, &tempo_version) {
        let other = given.source(&options::TEMPO_BIN);
        given.refuse(
            &options::TEMPO_VERSION,
            format!("{version:?}"),
            format!("no version, as {other} names a Tempo already"),
        );
    }
    ToolSettings {
        k6: given.path(&options::K6_BIN),
        otelcol: given.path(&options::OTELCOL_BIN),
        prometheus: given.path(&options::PROMETHEUS_BIN),
        tempo,
        tempo_version,
        source: given
            .word(&options::TOOLS_SOURCE, &["auto", "download", "build"])
            .unwrap_or_default(),
        releases,
        cache: given.path(&options::TOOLS_DIR).unwrap_or_default(),
    }
}

/// `2.10.8`, `v3.0.3` or `3.1.0-rc.0`, without the `v`. It becomes part of a URL
/// and of a path.
fn release_number(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (numbers, suffix) = text.split_once('-').unwrap_or((text, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    let is_word = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_alphanumeric());
    let numbers: Vec<&str> = numbers.split('.').collect();
    let fits =
        numbers.len() == 3 && numbers.into_iter().all(is_number) && suffix.split('.').all(is_word);
    if fits {
        Ok(text.to_owned())
    } else {
        Err(String::new())
    }
}
