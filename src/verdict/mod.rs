//! What a run is judged by: checks, each with what was observed, its bound and
//! one of four outcomes.

mod cause;
pub mod judge;
pub mod k6_values;

use serde::{Deserialize, Serialize};

/// How a check ended. No data never passes: `Unmeasured` fails a case just as
/// `Violated` does, and the two are told apart everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Passed,
    Violated,
    Unmeasured,
    /// Decided in the plan, before the load, with a reason.
    NotApplicable,
}

/// Where a check's observed value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    K6,
    Prometheus,
    Load,
    ReadBack,
    Generator,
}

/// What the observed value is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max: Option<f64>,
    /// With it, `min` and `max` are not reached themselves: `<` and `>`.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub exclusive: bool,
}

/// One check after the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    pub name: String,
    pub source: Source,
    /// The k6 threshold, the PromQL after substitution, or how it was counted.
    pub expression: String,
    /// In `unit`; absent when unmeasured or not applicable.
    pub observed: Option<f64>,
    pub bound: Bound,
    /// `s`, `ms`, `B/s`, `spans`, `ratio`, …
    pub unit: String,
    pub outcome: Outcome,
    /// Why it is unmeasured or not applicable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// For a failed check: the likely cause by the evidence, and what to try.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub likely_cause: Option<String>,
}

impl Check {
    /// Whether the check fails its case.
    pub fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Violated | Outcome::Unmeasured)
    }
}
