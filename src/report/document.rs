//! `{profile}-report.json`: a run with the conditions it was measured under.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ReportError;
use crate::checks::{Check, Outcome};
use crate::machine::Machine;
use crate::plan::NotApplied;
use crate::settings::Target;
use crate::settings::TestType;

/// Raised when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema_version: u32,
    pub state: State,
    pub profile: String,
    pub test_type: TestType,
    pub target: Target,
    pub run_id: String,
    pub seed: u32,
    /// NEXTEST_RUN_ID, or our own: the same for all cases of an invocation.
    pub invocation_id: String,
    pub started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<Timestamp>,
    /// Why the case could not be carried out, with its causes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// Whether the built-in trace store stood in for Tempo.
    pub built_in_trace_store: bool,
    pub plan: serde_json::Value,
    pub components: Vec<Component>,
    pub machine: Machine,
    /// What the checks look at; absent until the load has started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub window: Option<Window>,
    /// What the load was in the end.
    #[serde(skip_serializing_if = "serde_json::Value::is_null", default)]
    pub load: serde_json::Value,
    pub stages: Vec<Stage>,
    pub checks: Vec<Check>,
    pub not_applied: Vec<NotApplied>,
    pub notes: Vec<String>,
    /// Names within the output directory.
    pub files: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Running,
    Final,
    /// By a signal.
    Interrupted,
}

/// A program that took part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    pub name: String,
    pub version: String,
    /// Where it came from: a path, an image, an address.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// A part of the case and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    pub name: String,
    /// From the start of the case.
    pub start_seconds: f64,
    pub duration_seconds: f64,
}

/// How a case ended as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaseResult {
    Running,
    Passed,
    /// At least one check was violated; others may be unmeasured.
    Violated,
    /// None was violated, at least one unmeasured.
    Unmeasured,
    /// It was not carried out, or nothing of it could be judged.
    Error(String),
}

impl Report {
    /// Reads one. Fails for files that are none, and for other schema versions.
    pub(super) fn read(path: &Path) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u64,
        }
        let text = fs::read(path).map_err(ReportError::read(path))?;
        let not_a_report = |source| ReportError::NotAReport {
            path: path.to_owned(),
            source,
        };
        // The version first: with another one, a missing field says nothing.
        let Version { schema_version } = serde_json::from_slice(&text).map_err(not_a_report)?;
        if schema_version != u64::from(SCHEMA_VERSION) {
            return Err(ReportError::SchemaVersion {
                path: path.to_owned(),
                found: schema_version,
            });
        }
        serde_json::from_slice(&text).map_err(not_a_report)
    }

    /// The result of the case. A violation outweighs an unmeasured check: it is
    /// what was found out. Nothing that was judged is an error, not a pass.
    pub fn result(&self) -> CaseResult {
        if let Some(error) = &self.error {
            return CaseResult::Error(error.clone());
        }
        match self.state {
            State::Running => return CaseResult::Running,
            State::Interrupted => return CaseResult::Error("interrupted".into()),
            State::Final => {}
        }
        let any = |outcome| self.checks.iter().any(|check| check.outcome == outcome);
        if any(Outcome::Violated) {
            CaseResult::Violated
        } else if any(Outcome::Unmeasured) {
            CaseResult::Unmeasured
        } else if any(Outcome::Passed) {
            CaseResult::Passed
        } else {
            CaseResult::Error("no check applied, so nothing was judged".into())
        }
    }
}
