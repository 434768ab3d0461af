//! What a step tells of itself.

use crate::k6::summary::Summary;
use crate::plan::NotApplied;
use crate::report::{self, CaseResult, Report};

/// How a set-up step went.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a step may have nothing to set up on this target"]
pub enum SetUp {
    Done {
        /// What was asked for and this target cannot honour.
        not_applied: Vec<NotApplied>,
    },
    /// This target has no such part.
    NotHere { why: String },
}

/// A run of one test type. Only a run that came to a verdict has one.
#[derive(Debug, Clone)]
pub struct K6Result {
    /// As `{name}-report.json` has it, with every check.
    pub report: Report,
    /// k6's numbers of the ingestion; absent in a query test, an `Err` says why
    /// there are none.
    pub ingestion: Option<Result<Summary, String>>,
    /// The same of the queries; absent in an ingestion test.
    pub query: Option<Result<Summary, String>>,
}

impl K6Result {
    /// Whether every check that applies passed; an unmeasured one did not.
    pub fn success(&self) -> bool {
        self.report.result() == CaseResult::Passed
    }

    /// The part of the table of checks that failed, if one did.
    pub fn failure_message(&self) -> Option<String> {
        (!self.success()).then(|| report::failure_message(&self.report.checks))
    }
}

/// A run of ingestion and queries side by side.
#[derive(Debug, Clone)]
pub struct ParallelResult {
    /// As `{name}-report.json` has it, with every check.
    pub report: Report,
    /// k6's numbers of the ingestion; or why there are none.
    pub ingestion: Result<Summary, String>,
    /// k6's numbers of the queries; or why there are none.
    pub query: Result<Summary, String>,
}

impl ParallelResult {
    /// As [`K6Result::success`], of both runs.
    pub fn success(&self) -> bool {
        self.report.result() == CaseResult::Passed
    }

    /// As [`K6Result::failure_message`].
    pub fn failure_message(&self) -> Option<String> {
        (!self.success()).then(|| report::failure_message(&self.report.checks))
    }
}
