//! Everything that a run left to judge it by.

use std::collections::BTreeMap;

use super::check::Reason;
use crate::k6::Run;
use crate::k6::summary::Summary;

/// What was observed of a run. An `Err` says why a value is not there; nothing is
/// ever zero for lack of data.
#[derive(Debug, Clone)]
pub struct Observations {
    pub runs: BTreeMap<Run, RunObserved>,
    /// What Tempo's raw counters gained over the run.
    pub tempo: Result<TempoCounted, Reason>,
    /// Set when a counter went backwards: what it had counted is lost.
    pub tempo_restarted: Option<Reason>,
    /// By the check's name: the expression as it was sent, and its value.
    pub promql: BTreeMap<String, (String, Result<f64, Reason>)>,
    pub read_back: Result<ReadBackFound, Reason>,
    pub collector_cores: Result<f64, Reason>,
    /// Cores of this machine that were busy, whoever used them.
    pub machine_cores: Result<f64, Reason>,
    /// What was pushed, by the responses that k6 saw.
    pub pushed: Result<Pushed, Reason>,
    /// What ended although it should run, each with its last words.
    pub ended_components: Vec<String>,
}

/// One k6 run.
#[derive(Debug, Clone)]
pub struct RunObserved {
    pub summary: Result<Summary, Reason>,
    pub interrupted_iterations: Result<u64, Reason>,
    /// CPU seconds per second of the run.
    pub cores: Result<f64, Reason>,
}

/// Gains of Tempo's raw counters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TempoCounted {
    pub spans_received: f64,
    pub bytes_received: f64,
    pub spans_rate_limited: f64,
    pub spans_discarded_otherwise: f64,
}

/// Totals of a run, warm-up included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pushed {
    pub spans_acknowledged: f64,
    /// Of requests that were refused with HTTP 429.
    pub spans_rate_limited: f64,
    /// Of requests that failed in any other way, or had no answer: Tempo may
    /// have counted them or not.
    pub spans_uncertain: f64,
    pub bytes_acknowledged: f64,
    /// Of the same requests as `spans_uncertain`.
    pub bytes_uncertain: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadBackFound {
    pub sampled: u64,
    pub missing: u64,
    pub partial: u64,
    pub altered: u64,
}

impl Observations {
    pub(super) fn run(&self, run: Run) -> Result<&RunObserved, Reason> {
        self.runs
            .get(&run)
            .ok_or_else(|| format!("there was no {run} run").into())
    }

    pub(super) fn summary(&self, run: Run) -> Result<&Summary, Reason> {
        self.run(run)?.summary.as_ref().map_err(Clone::clone)
    }
}
