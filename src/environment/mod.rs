//! Where a run happens. One trait for a set of local processes, an existing
//! Tempo and a Kubernetes cluster; the same scripts, checks and files in each.

pub mod endpoint;
mod k6_process;
pub mod kubernetes;
pub mod local;
mod logs;
mod make;
mod requests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use url::Url;

use crate::checks::Capabilities;
use crate::k6::{self, load::Load};
use crate::metrics::PrometheusClient;
use crate::metrics::exposition::CounterSnapshot;
use crate::process::Signal;
use crate::profile::Profile;
use crate::report::{Component, OutputDir};
use crate::tools::{ResolvedTool, Tool};

pub use make::{Place, make};
pub use requests::push_until_accepted;

/// What can go wrong with an environment. The text carries what one would
/// otherwise have to run again for: command, exit code, log tail.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error("{0}")]
    Failed(String),
    #[error("interrupted by {0}")]
    Interrupted(Signal),
    /// Another process took a port between its choice and its use.
    #[error("{what}: a port was taken by another process: {detail}")]
    PortLost { what: String, detail: String },
}

/// Addresses that the load needs.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Where k6 posts OTLP/HTTP requests, `…/v1/traces`.
    pub push: Option<Url>,
    /// Base of Tempo's HTTP API.
    pub query: Option<Url>,
}

/// A k6 run to start.
#[derive(Debug, Clone)]
pub struct K6Start {
    pub run: k6::Run,
    pub load: Load,
    /// Where its output goes, appended.
    pub log: PathBuf,
    pub timeout: Duration,
}

/// How a k6 run ended.
#[derive(Debug, Clone)]
pub struct K6Finished {
    pub exit_code: Option<i32>,
    /// The signal that ended it, or what the harness did to it.
    pub ended_by: Option<String>,
    pub wall: Duration,
    pub cpu: Duration,
    pub max_rss_bytes: u64,
    /// The JSON that the script's `handleSummary` wrote; or why there is none.
    pub summary: Result<String, String>,
}

/// A part of the set-up or the teardown.
#[derive(Debug, Clone)]
pub struct TimedStage {
    pub name: String,
    pub start: std::time::Instant,
    pub took: Duration,
}

/// A place to run a case in.
#[async_trait(?Send)]
pub trait Environment: Send + Sync {
    /// What is missing is named at once, before anything is started.
    async fn check_prerequisites(&self) -> Result<(), EnvironmentError>;
    /// Object storage for Tempo; nothing where Tempo stores in a directory.
    async fn set_up_storage(&self) -> Result<(), EnvironmentError>;
    async fn set_up_tempo(&self) -> Result<(), EnvironmentError>;
    async fn set_up_collector(&self) -> Result<(), EnvironmentError>;
    async fn set_up_prometheus(&self) -> Result<(), EnvironmentError>;
    /// All of the above, in parallel where nothing forces an order.
    async fn set_up(&self) -> Result<(), EnvironmentError>;

    /// Takes another profile's Tempo, for one that is not set up yet.
    async fn adopt(&self, _profile: &Profile) -> Result<(), EnvironmentError> {
        Ok(())
    }
    /// How often Prometheus scrapes Tempo, where that is known only here.
    fn scrape_interval(&self) -> Option<Duration> {
        None
    }

    /// For files of the run; removed with the environment.
    fn work_dir(&self) -> &Path;
    fn components(&self) -> Vec<Component>;
    /// As k6 reaches them.
    fn addresses(&self) -> Addresses;
    /// Where this process pushes a trace the way that k6 will.
    fn push_from_here(&self) -> Option<Url> {
        self.addresses().push
    }
    /// What a reader of the report should know of the place.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
    /// Stages of the set-up or teardown that ended since the last call.
    fn take_stages(&self) -> Vec<TimedStage> {
        Vec::new()
    }
    fn capabilities(&self) -> Capabilities;
    fn prometheus(&self) -> Option<PrometheusClient>;

    /// Brings k6 runs so far that they can start at an instant that is told
    /// afterwards, within [`Environment::k6_start`].
    async fn prepare_k6(&self, _runs: &[k6::Run]) -> Result<(), EnvironmentError> {
        Ok(())
    }
    /// From being told its load to k6's own start.
    fn k6_start(&self) -> Duration {
        Duration::ZERO
    }
    /// Runs k6 to its end; with an interrupt it is stopped.
    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError>;
    /// Waits until Prometheus has a sample of Tempo from `at` or later; where
    /// there are no such samples, not at all.
    async fn wait_for_scrape(&self, at: Timestamp) -> Result<(), EnvironmentError>;
    /// Tempo's counters now, from its own `/metrics`.
    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError>;
    /// CPU time that the collector has used so far.
    async fn collector_cpu(&self) -> Option<Duration>;
    /// Why a component is not running although it should be.
    fn dead_components(&self) -> Vec<String>;

    /// Copies the components' logs to the output directory.
    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError>;
    /// Stops and removes all that was set up; all is tried, errors come together.
    async fn tear_down(&self) -> Result<(), EnvironmentError>;
    /// For `--skip-cleanup`: how to reach what runs on, and how to stop it.
    fn how_to_reach_and_stop(&self) -> String;
}

/// Matchers of Tempo's own series, where our own Prometheus scrapes it.
const SELECTOR: &str = "job=\"tempo\"";
/// The same of the collector's.
const COLLECTOR_SELECTOR: &str = "job=\"otel-collector\"";

/// The one of `tools` that is `tool`.
fn resolved(tools: &[ResolvedTool], tool: Tool) -> Result<ResolvedTool, EnvironmentError> {
    let found = tools.iter().find(|resolved| resolved.tool == tool);
    found
        .cloned()
        .ok_or_else(|| EnvironmentError::Failed(format!("{tool} was not resolved")))
}

/// A new directory for the files of a run of `profile`, not yet made.
fn new_work_dir(profile: &str) -> PathBuf {
    let now = Timestamp::now().as_millisecond();
    std::env::temp_dir().join(format!("tempo-perf-{profile}-{}-{now}", std::process::id()))
}
