//! What a place can measure: what is not there does not apply.

use std::time::Duration;

use super::check::Reason;

/// What an environment offers to the checks, known before the load.
#[derive(Debug, Clone)]
pub struct Capabilities {
    /// PromQL matchers of Tempo's own series; or why there are none.
    pub tempo_metrics: Result<String, Reason>,
    /// PromQL matchers of the collector's series.
    pub collector_metrics: String,
    /// PromQL matchers of the kubelets' metrics of Tempo's containers; or why
    /// there are none.
    pub container_metrics: Result<String, Reason>,
    /// Whether the collector's CPU can be read; or why not.
    pub collector_cpu: Result<(), Reason>,
    /// Cores that a k6 run may use, those of this machine when absent; or why that
    /// is not known.
    pub k6_cores: Result<Option<f64>, Reason>,
    /// The same of the collector.
    pub collector_cores: Result<Option<f64>, Reason>,
    /// How old data must be before searches may ask for it.
    pub visibility_delay: Duration,
    /// Bytes of pushed data that stay readable, where that is bounded.
    pub readable_bytes: Option<u64>,
    /// Whether traces can be read back; or why not.
    pub read_back: Result<(), Reason>,
    /// Set when the backend is not Tempo: how to call it in every report.
    pub stand_in: Option<String>,
}
