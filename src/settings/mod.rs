//! Settings of an invocation: flags after `--` and environment variables, read
//! once. A flag beats a variable, a variable beats the profile, the profile
//! beats the default. An empty variable counts as unset.

mod command;
pub mod duration;
pub mod kubernetes;
pub(crate) mod options;
mod parse;
mod select;
mod target;
mod tools;

pub use kubernetes::{
    ImageSettings, KubernetesSettings, PrometheusChoice, S3Credentials, StorageSettings,
};
pub use parse::{Invocation, Malformed, SettingsError};
pub use select::{SelectError, find, select};
pub use target::{Target, resolve_target};
pub use tools::{ReleaseAddresses, ToolSettings, ToolSource};

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::profile::TraceProfile;
use crate::units::{ByteRate, EventRate};

/// Everything that an invocation was told, parsed and typed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `--profiles`, TEMPO_PERF_PROFILES; empty means all.
    pub profiles: Vec<String>,
    pub profiles_dir: PathBuf,
    pub output: PathBuf,
    pub test_type: TestType,
    pub dry_run: bool,
    pub validate_profiles: bool,
    pub skip_cleanup: bool,
    pub check_metrics: bool,
    pub collect_logs: bool,
    pub junit: Option<PathBuf>,
    pub target: TargetChoice,

    /// TEMPO_ENDPOINT: an OTLP/HTTP endpoint of a Tempo that exists.
    pub tempo_endpoint: Option<Url>,
    /// TEMPO_QUERY_ENDPOINT: its HTTP API.
    pub tempo_query_endpoint: Option<Url>,

    /// DURATION.
    pub duration: Option<Duration>,
    /// SIZE: the profile whose `k6` section replaces that of the case.
    pub size: Option<String>,
    pub mb_per_second: Option<ByteRate>,
    pub queries_per_second: Option<EventRate>,
    pub vus_min: Option<u32>,
    pub vus_max: Option<u32>,
    pub trace_profile: Option<TraceProfile>,

    /// TEMPO_PERF_JOB_TIMEOUT.
    pub job_timeout: Option<Duration>,
    /// TEMPO_PERF_POD_READY_TIMEOUT; also how long a local process may take.
    pub pod_ready_timeout: Duration,
    /// TEMPO_PERF_CR_DELETION_TIMEOUT.
    pub cr_deletion_timeout: Duration,
    /// TEMPO_PERF_MAX_CONCURRENT_QUERIES.
    pub max_concurrent_queries: usize,

    /// TEMPO_PERF_SEED: what the corpus and the order of payloads are made from.
    pub seed: u32,
    pub tools: ToolSettings,
    pub kubernetes: KubernetesSettings,
    /// TEMPO_PERF_STORE_FAULTS: faults that the built-in trace store is to have,
    /// for tests of this program; named in every report.
    pub store_faults: Vec<String>,

    /// What named `profiles`, for messages: the flag or the variable.
    pub profiles_source: String,
    /// What named `size`.
    pub size_source: String,
}

/// The settings of an invocation that was told nothing; only the cache of
/// tools, which depends on the user, is left empty.
impl Default for Settings {
    fn default() -> Self {
        Self {
            profiles: Vec::new(),
            profiles_dir: "profiles".into(),
            output: "results".into(),
            test_type: TestType::Combined,
            dry_run: false,
            validate_profiles: false,
            skip_cleanup: false,
            check_metrics: false,
            collect_logs: true,
            junit: None,
            target: TargetChoice::Auto,
            tempo_endpoint: None,
            tempo_query_endpoint: None,
            duration: None,
            size: None,
            mb_per_second: None,
            queries_per_second: None,
            vus_min: None,
            vus_max: None,
            trace_profile: None,
            job_timeout: None,
            pod_ready_timeout: Duration::from_secs(120),
            cr_deletion_timeout: Duration::from_secs(120),
            max_concurrent_queries: 5,
            seed: 1,
            tools: ToolSettings::default(),
            kubernetes: KubernetesSettings::default(),
            store_faults: Vec::new(),
            profiles_source: "--profiles".into(),
            size_source: "--size".into(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestType {
    Ingestion,
    Query,
    Combined,
}

impl fmt::Display for TestType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingestion => "ingestion",
            Self::Query => "query",
            Self::Combined => "combined",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetChoice {
    Auto,
    Local,
    Kubernetes,
    Endpoint,
}
