//! Where a run happens. One trait for a set of local processes, an existing
//! Tempo and a Kubernetes cluster; the same scripts, checks and files in each.

pub mod endpoint;
mod k6_process;
pub mod kubernetes;
pub mod local;
mod logs;
mod make;
mod requests;
mod stages;
mod surroundings;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::k6::{self, load::Load};
use crate::metrics::exposition::CounterSnapshot;
use crate::plan::Plan;
use crate::process::Signal;
use crate::report::OutputDir;
use crate::tools::{ResolvedTool, Tool};

pub use make::{Programs, make};
pub use requests::push_until_accepted;
pub use stages::{StageLog, TimedStage};
pub use surroundings::{Addresses, Surroundings};

/// What can go wrong with an environment. The text carries what one would
/// otherwise have to run again for: command, exit code, log tail.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    #[error("{0}")]
    Failed(String),
    #[error("interrupted by {0}")]
    Interrupted(Signal),
    /// What a cluster lacks; `tempo` and `otel` tell whether their operators are
    /// there.
    #[error("{in_full}")]
    Prerequisites {
        tempo: bool,
        otel: bool,
        in_full: String,
    },
    /// Another process took a port between its choice and its use.
    #[error("{what}: a port was taken by another process: {detail}")]
    PortLost { what: String, detail: String },
}

fn failed(text: impl ToString) -> EnvironmentError {
    EnvironmentError::Failed(text.to_string())
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

/// The parts of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Object storage for Tempo; nothing where Tempo stores in a directory.
    Storage,
    Tempo,
    Collector,
    Prometheus,
}

impl Part {
    pub const ALL: [Part; 4] = [
        Part::Storage,
        Part::Tempo,
        Part::Collector,
        Part::Prometheus,
    ];
}

/// A place to run a case in. What it takes comes from the plan alone.
#[async_trait(?Send)]
pub trait Environment: Send + Sync {
    /// What is missing is named at once, before anything is started. Gives how
    /// often Prometheus will scrape Tempo.
    async fn look(&mut self, plan: &Plan) -> Result<Duration, EnvironmentError>;
    /// Sets parts up, in parallel where nothing forces an order.
    async fn set_up(
        &mut self,
        plan: &Plan,
        parts: &[Part],
        stages: &StageLog,
    ) -> Result<(), EnvironmentError>;
    /// Brings k6 runs so far that they can start at an instant that is told
    /// afterwards, and tells what the load needs to know.
    async fn prepare(
        &mut self,
        plan: &Plan,
        runs: &[k6::Run],
    ) -> Result<Surroundings, EnvironmentError>;
    /// Runs k6 to its end; with an interrupt it is stopped.
    async fn run_k6(&self, start: K6Start) -> Result<K6Finished, EnvironmentError>;
    /// Tempo's counters now, from its own `/metrics`.
    async fn tempo_counters(&self) -> Result<CounterSnapshot, EnvironmentError>;
    /// CPU time that the collector has used so far.
    async fn collector_cpu(&self) -> Option<Duration>;
    /// Why a component is not running although it should be.
    fn ended_components(&self) -> Vec<String>;
    /// Copies the components' logs to the output directory.
    async fn collect_logs(&self, output: &OutputDir) -> Result<Vec<PathBuf>, EnvironmentError>;
    /// Stops and removes all that was set up; all is tried, errors come together.
    async fn tear_down(&mut self, stages: &StageLog) -> Result<(), EnvironmentError>;
    /// For `--skip-cleanup`: leaves all of it running, and says how to reach what
    /// runs, and how to stop it.
    fn leave_running(&mut self) -> String;
}

/// Matchers of Tempo's own series, where our own Prometheus scrapes it.
const SELECTOR: &str = "job=\"tempo\"";
/// The same of the collector's.
const COLLECTOR_SELECTOR: &str = "job=\"otel-collector\"";

/// How to call what is not Tempo, of which Tempo's API tells this version.
fn stand_in(version: &str) -> Option<String> {
    version
        .contains(tempo_perf_trace_store::NAME)
        .then(|| STORE_IS_NOT_TEMPO.into())
}

const STORE_IS_NOT_TEMPO: &str = "the built-in trace store, which is not Tempo";

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
