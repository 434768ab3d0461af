//! The checks that a case is judged by, all known before the load. Each family of
//! them has a file of its own, which says everything of its members: name, unit,
//! bound, how the value is counted, and the likely cause when it is violated.

mod capabilities;
mod cause;
mod check;
mod delivery;
mod generator;
pub mod k6_values;
mod load;
mod observations;
mod read_back;
mod slos;
mod text;
mod thresholds;

use serde::Serialize;

use crate::k6::Run;
use crate::k6::solve::SolvedLoad;
use crate::profile::Profile;
use crate::settings::{Target, TestType};
use crate::units::Unit;

pub use capabilities::Capabilities;
pub use check::{Bound, Check, Outcome, Reason, Source};
pub use delivery::DeliveryMeasure;
pub use generator::{GeneratorMeasure, cores};
pub use load::LoadMeasure;
pub use observations::{Observations, Pushed, ReadBackFound, RunObserved, TempoCounted};
pub use read_back::ReadBackFault;
pub use slos::{PromQlMeasure, variable_values};
pub use text::Notation;
pub use thresholds::{ThresholdMeasure, operation_of};

/// How a check's value is measured. As JSON, the member alone: its family is not
/// named.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Threshold(ThresholdMeasure),
    PromQl(PromQlMeasure),
    ReadBack(ReadBackFault),
    #[serde(untagged)]
    Load(LoadMeasure),
    #[serde(untagged)]
    Delivery(DeliveryMeasure),
    #[serde(untagged)]
    Generator(GeneratorMeasure),
}

impl Measure {
    fn family(&self) -> &dyn Family {
        match self {
            Measure::Threshold(it) => it,
            Measure::PromQl(it) => it,
            Measure::ReadBack(it) => it,
            Measure::Load(it) => it,
            Measure::Delivery(it) => it,
            Measure::Generator(it) => it,
        }
    }
}

/// What a family says of each of its members.
trait Family {
    /// How the value comes about, for the reader of a report.
    fn expression(&self, name: &str, seen: &Observations) -> String;

    fn finding(&self, name: &str, facts: Facts<'_>) -> Result<Finding, Reason>;

    /// The likely cause of a violation, and what to try.
    fn cause(&self, check: &Check, facts: Facts<'_>) -> Option<String>;

    /// The same where there is no value.
    fn cause_of_no_value(&self, _why: &Reason, _seen: &Observations) -> Option<String> {
        None
    }

    /// The bound in this place, or why it cannot be measured there.
    fn bound_in(&self, planned: Bound, _place: &Capabilities) -> Result<Bound, Reason> {
        Ok(planned)
    }

    /// What a plan shows of it behind its name.
    fn planned_text(&self, check: &PlannedCheck, _target: Target) -> String {
        check.bound_text()
    }
}

/// What a check is judged by: the load as it was planned, and what was seen of it.
#[derive(Clone, Copy)]
struct Facts<'a> {
    load: SolvedLoad<'a>,
    seen: &'a Observations,
}

/// What was found out about a check.
enum Finding {
    /// To be held against the bound.
    Value(f64),
    /// With k6's own verdict.
    Judged { value: f64, passed: bool },
    /// It has no value, and that is the violation.
    Violated(Reason),
}

/// A check before the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedCheck {
    pub name: String,
    pub source: Source,
    pub measure: Measure,
    pub bound: Bound,
    pub unit: Unit,
    /// Whether it measures how fast or how much: worth nothing when the load
    /// generator or the collector was the bottleneck.
    pub of_performance: bool,
    /// Why it does not apply, decided before the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<Reason>,
}

/// All checks of a case, in the order in which they are shown. `cores` are this
/// machine's.
pub fn planned(
    profile: &Profile,
    test_type: TestType,
    target: Target,
    cores: usize,
    load: SolvedLoad<'_>,
) -> Vec<PlannedCheck> {
    [
        load::planned(test_type, load),
        delivery::planned(profile, test_type),
        load::searches(profile, test_type, load),
        thresholds::planned(profile, test_type),
        slos::planned(profile, test_type, load),
        read_back::planned(test_type),
        generator::planned(test_type, target, cores),
    ]
    .concat()
}

/// The k6 runs that put on the load of a test type.
fn loads(test_type: TestType) -> &'static [Run] {
    match test_type {
        TestType::Ingestion => &[Run::Ingestion],
        TestType::Query => &[Run::Query],
        TestType::Combined => &[Run::Ingestion, Run::Query],
    }
}

/// What this place cannot measure does not apply; and where k6 and the collector
/// have limits of their own, those count.
pub fn settle(checks: &mut [PlannedCheck], place: &Capabilities) {
    for check in checks {
        match check.measure.family().bound_in(check.bound, place) {
            Ok(bound) => check.bound = bound,
            Err(why) => {
                check.not_applicable.get_or_insert(why);
            }
        }
    }
}

/// Judges a run: what was observed of it becomes checks with outcomes.
pub fn judge(planned: &[PlannedCheck], load: SolvedLoad<'_>, seen: &Observations) -> Vec<Check> {
    let facts = Facts { load, seen };
    let mut checks: Vec<Check> = planned.iter().map(|it| it.judge(facts)).collect();
    if let Some(bottleneck) = generator::bottleneck(planned, &checks) {
        let reached = load::reached(facts);
        for (check, planned) in checks.iter_mut().zip(planned) {
            let judged = matches!(check.outcome, Outcome::Passed | Outcome::Violated);
            if planned.of_performance && judged {
                check.outcome = Outcome::Unmeasured;
                check.reason = Some(format!("{bottleneck} was the bottleneck; {reached}").into());
            }
        }
    }
    cause::explain(planned, facts, &mut checks);
    checks
}

impl PlannedCheck {
    fn new(
        name: impl Into<String>,
        source: Source,
        measure: Measure,
        bound: Bound,
        unit: impl Into<Unit>,
    ) -> Self {
        Self {
            name: name.into(),
            source,
            measure,
            bound,
            unit: unit.into(),
            of_performance: false,
            not_applicable: None,
        }
    }

    pub fn applies(&self) -> bool {
        self.not_applicable.is_none()
    }

    /// What a plan shows of it: its name and what it demands.
    pub fn text(&self, target: Target) -> String {
        let demands = self.measure.family().planned_text(self, target);
        match &self.not_applicable {
            None => format!("{}{demands}", self.name),
            Some(why) => format!("{}{demands}   (not applicable: {why})", self.name),
        }
    }

    fn bound_text(&self) -> String {
        format!(" {}", self.bound.text(&self.unit, Notation::Sentence))
    }

    fn judge(&self, facts: Facts<'_>) -> Check {
        let family = self.measure.family();
        let check = Check {
            name: self.name.clone(),
            source: self.source,
            expression: family.expression(&self.name, facts.seen),
            observed: None,
            bound: self.bound,
            unit: self.unit.clone(),
            outcome: Outcome::NotApplicable,
            reason: self.not_applicable.clone(),
            likely_cause: None,
        };
        if !self.applies() {
            return check;
        }
        let (value, passed) = match family.finding(&self.name, facts) {
            Ok(Finding::Value(value)) => (value, self.bound.holds(value)),
            Ok(Finding::Judged { value, passed }) => (value, passed),
            Ok(Finding::Violated(why)) => return check.without_value(Outcome::Violated, why),
            Err(why) => return check.without_value(Outcome::Unmeasured, why),
        };
        // Such as a share of nothing.
        if value.is_nan() {
            let why = "the value is not a number (NaN)".into();
            return check.without_value(Outcome::Unmeasured, why);
        }
        Check {
            observed: Some(value),
            outcome: if passed {
                Outcome::Passed
            } else {
                Outcome::Violated
            },
            ..check
        }
    }
}

impl Check {
    fn without_value(self, outcome: Outcome, why: Reason) -> Self {
        Self {
            outcome,
            reason: Some(why),
            ..self
        }
    }
}
