//! Whether the load was put on as planned, and nothing broke on the way.

use std::collections::BTreeSet;

use serde::Serialize;

use super::check::{Bound, Check, Reason, Source};
use super::{Facts, Family, Finding, Measure, Observations, PlannedCheck, cause, k6_values, loads};
use crate::k6::Run;
use crate::k6::load::operation_tag;
use crate::k6::solve::SolvedLoad;
use crate::profile::Profile;
use crate::settings::{Target, TestType};
use crate::units::{ByteRate, Significant};

/// Largest miss of the load's target: 2 %, or two requests where that is more.
const TOLERANCE: f64 = 0.02;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadMeasure {
    AcknowledgedBytes,
    QueriesDone,
    EndedComponents,
    DroppedIterations(Run),
    IterationExceptions(Run),
    InterruptedIterations(Run),
    SearchesWithTraces,
}
use LoadMeasure::*;

pub(super) fn planned(test_type: TestType, load: SolvedLoad<'_>) -> Vec<PlannedCheck> {
    let of_a_run = |run: &Run| {
        [
            DroppedIterations,
            IterationExceptions,
            InterruptedIterations,
        ]
        .map(|it| it(*run))
    };
    let pushed = (test_type != TestType::Query).then_some(AcknowledgedBytes);
    let asked = (test_type != TestType::Ingestion).then_some(QueriesDone);
    pushed
        .into_iter()
        .chain(asked)
        .chain([EndedComponents])
        .chain(loads(test_type).iter().flat_map(of_a_run))
        .map(|measure| measure.planned(load))
        .collect()
}

/// Searches of the built-in mix find something. What a user's own look for, only
/// the user knows.
pub(super) fn searches(
    profile: &Profile,
    test_type: TestType,
    load: SolvedLoad<'_>,
) -> Vec<PlannedCheck> {
    let built_in = test_type != TestType::Ingestion && profile.k6.query.queries.is_none();
    let found = built_in.then(|| SearchesWithTraces.planned(load));
    found.into_iter().collect()
}

impl LoadMeasure {
    fn planned(self, load: SolvedLoad<'_>) -> PlannedCheck {
        let around = |target: f64, of_one: f64| {
            let miss = (target * TOLERANCE).max(2.0 * of_one / load.duration.as_secs_f64());
            Bound::between(target - miss, target + miss)
        };
        let ingestion = load.ingestion;
        let bound = match self {
            AcknowledgedBytes => around(
                ingestion.target_bytes_per_second.bytes_per_second(),
                ingestion.mean_request_bytes,
            ),
            QueriesDone => around(load.query.queries_per_second.as_per_second(), 1.0),
            SearchesWithTraces => Bound::at_least(1.0),
            EndedComponents
            | DroppedIterations(_)
            | IterationExceptions(_)
            | InterruptedIterations(_) => Bound::NONE,
        };
        let [what, unit, _] = self.says();
        let (run, of_performance) = match self {
            AcknowledgedBytes | QueriesDone => (None, true),
            DroppedIterations(run) => (Some(run), true),
            IterationExceptions(run) | InterruptedIterations(run) => (Some(run), false),
            EndedComponents | SearchesWithTraces => (None, false),
        };
        let name = run.map_or(what.into(), |run| format!("{what}, {run}"));
        PlannedCheck {
            of_performance,
            ..PlannedCheck::new(name, Source::Load, Measure::Load(self), bound, unit)
        }
    }

    /// Its name, without the run; its unit; and how the value comes about.
    fn says(self) -> [&'static str; 3] {
        match self {
            AcknowledgedBytes => [
                "bytes acknowledged",
                "B/s",
                "body bytes of accepted requests / planned time",
            ],
            QueriesDone => [
                "queries done",
                "queries/s",
                "queries answered as they should be / planned time",
            ],
            EndedComponents => [
                "components that ended",
                "components",
                "processes that ended during the run",
            ],
            DroppedIterations(_) => ["dropped iterations", "iterations", "k6 dropped_iterations"],
            IterationExceptions(_) => [
                "script exceptions",
                "exceptions",
                "exceptions caught in iterations",
            ],
            InterruptedIterations(_) => [
                "interrupted iterations",
                "iterations",
                "iterations cut off at the end",
            ],
            SearchesWithTraces => [
                "searches that found traces",
                "searches",
                "searches whose answer held a trace",
            ],
        }
    }
}

impl Family for LoadMeasure {
    fn expression(&self, _: &str, _: &Observations) -> String {
        let [_, _, expression] = self.says();
        expression.into()
    }

    fn finding(&self, _: &str, facts: Facts<'_>) -> Result<Finding, Reason> {
        let Facts { load, seen } = facts;
        let seconds = load.duration.as_secs_f64();
        let value = match self {
            AcknowledgedBytes => {
                k6_values::acknowledged_bytes(seen.summary(Run::Ingestion)?)? / seconds
            }
            QueriesDone => queries_done(facts)? / seconds,
            EndedComponents => seen.ended_components.len() as f64,
            DroppedIterations(run) => k6_values::dropped_iterations(seen.summary(*run)?)?,
            IterationExceptions(run) => k6_values::script_exceptions(seen.summary(*run)?)?,
            InterruptedIterations(run) => seen.run(*run)?.interrupted_iterations.clone()? as f64,
            SearchesWithTraces => k6_values::searches_with_traces(seen.summary(Run::Query)?)?,
        };
        Ok(Finding::Value(value))
    }

    fn cause(&self, _: &Check, facts: Facts<'_>) -> Option<String> {
        match self {
            AcknowledgedBytes | DroppedIterations(Run::Seeding | Run::Ingestion) => {
                cause::refusals(facts.seen).or_else(|| cause::users(facts, Run::Ingestion))
            }
            QueriesDone | DroppedIterations(Run::Query | Run::ReadBack) => {
                cause::users(facts, Run::Query)
            }
            // What ended is the cause of everything else.
            EndedComponents => None,
            IterationExceptions(run) => Some(format!(
                "the k6 script failed; the {run} log has the exception"
            )),
            InterruptedIterations(_) => Some(
                "answers were still missing when the load had ended: requests hang longer than \
                 k6 waits for them"
                    .into(),
            ),
            SearchesWithTraces => Some(
                "all searches came back empty: nothing was searchable yet; try a longer DURATION \
                 or a shorter flush period"
                    .into(),
            ),
        }
    }

    fn planned_text(&self, check: &PlannedCheck, _: Target) -> String {
        match self {
            AcknowledgedBytes | QueriesDone => {
                format!(" within {} % of the target", TOLERANCE * 100.0)
            }
            EndedComponents | SearchesWithTraces => check.bound_text(),
            DroppedIterations(_) | IterationExceptions(_) | InterruptedIterations(_) => {
                check.bound_text()
            }
        }
    }
}

fn queries_done(Facts { load, seen }: Facts<'_>) -> Result<f64, Reason> {
    let queries = load.query.queries.iter();
    let operations: BTreeSet<&str> = queries
        .map(|query| operation_tag(query.operation))
        .collect();
    let operations: Vec<&str> = operations.into_iter().collect();
    k6_values::queries_done(seen.summary(Run::Query)?, &operations)
}

/// How much of the load there was, for when it was not all.
pub(super) fn reached(facts: Facts<'_>) -> String {
    let Facts { load, seen } = facts;
    let seconds = load.duration.as_secs_f64();
    let bytes = seen
        .summary(Run::Ingestion)
        .and_then(k6_values::acknowledged_bytes);
    let mut parts = Vec::new();
    if let Ok(bytes) = bytes {
        let rate = ByteRate::from_bytes_per_second(bytes / seconds);
        parts.push(format!(
            "{rate} of {}",
            load.ingestion.target_bytes_per_second
        ));
    }
    if let Ok(queries) = queries_done(facts) {
        parts.push(format!(
            "{} of {} queries/s",
            Significant(queries / seconds),
            Significant(load.query.queries_per_second.as_per_second())
        ));
    }
    if parts.is_empty() {
        "it reached nothing".into()
    } else {
        format!("it reached {}", parts.join(" and "))
    }
}
