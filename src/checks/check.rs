//! One check after the run: what was observed, its bound and one of four outcomes.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::k6::summary::SummaryError;
use crate::units::Unit;

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

/// What the observed value is compared with, in the check's unit.
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

impl Bound {
    /// Holds for every number.
    pub const ANY: Self = Self {
        min: None,
        max: None,
        exclusive: false,
    };
    /// Of what must not happen.
    pub const NONE: Self = Self::at_most(0.0);

    pub const fn at_most(max: f64) -> Self {
        Self {
            max: Some(max),
            ..Self::ANY
        }
    }

    pub const fn at_least(min: f64) -> Self {
        Self {
            min: Some(min),
            ..Self::ANY
        }
    }

    pub const fn between(min: f64, max: f64) -> Self {
        Self {
            min: Some(min),
            max: Some(max),
            exclusive: false,
        }
    }

    /// The same bound, `factor` times as large.
    pub fn times(self, factor: f64) -> Self {
        Self {
            min: self.min.map(|min| min * factor),
            max: self.max.map(|max| max * factor),
            ..self
        }
    }

    pub fn holds(&self, value: f64) -> bool {
        let reached = |limit: f64| value == limit && !self.exclusive;
        // A NaN is neither above nor below, and holds not even for no limit at all.
        !value.is_nan()
            && self.min.is_none_or(|min| value > min || reached(min))
            && self.max.is_none_or(|max| value < max || reached(max))
    }
}

/// Why there is no value, or why there cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
#[serde(transparent)]
pub struct Reason(String);

impl<T: Into<String>> From<T> for Reason {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl From<SummaryError> for Reason {
    fn from(err: SummaryError) -> Self {
        Self(err.to_string())
    }
}

impl Deref for Reason {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
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
    pub unit: Unit,
    pub outcome: Outcome,
    /// Why it is unmeasured or not applicable.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reason>,
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
