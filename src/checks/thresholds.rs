//! k6's thresholds: the profile's, and those of every run.

use serde::Serialize;

use super::check::{Bound, Check, Reason, Source};
use super::{Facts, Family, Finding, Measure, Observations, PlannedCheck, cause, k6_values, loads};
use crate::k6::Run;
use crate::k6::load::operation_tag;
use crate::k6::query_mix;
use crate::profile::threshold::{self, Aggregation, Comparator};
use crate::profile::{Operation, Profile};
use crate::settings::{Target, TestType};
use crate::units::Unit;

/// A k6 threshold on a metric (with its tags) of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ThresholdMeasure {
    #[serde(rename = "role")]
    pub run: Run,
    pub metric: String,
    pub expression: String,
}

/// A threshold in the profile replaces the default of its metric; none at all
/// removes the defaults.
pub(super) fn planned(profile: &Profile, test_type: TestType) -> Vec<PlannedCheck> {
    let given = profile.thresholds.as_ref();
    let mut thresholds: Vec<(String, Vec<String>)> = Vec::new();
    if given.is_none_or(|given| !given.is_empty()) {
        thresholds = defaults(&operations(profile, test_type));
    }
    for (metric, expressions) in given.into_iter().flatten() {
        match thresholds.iter_mut().find(|(known, _)| known == metric) {
            Some((_, default)) => default.clone_from(expressions),
            None => thresholds.push((metric.clone(), expressions.clone())),
        }
    }
    thresholds
        .iter()
        .flat_map(|(metric, expressions)| expressions.iter().map(move |it| (metric, it)))
        .flat_map(|(metric, expression)| on_runs(metric, expression, test_type))
        .collect()
}

/// Failures under 1 %, and k6's latency.
fn defaults(operations: &[&str]) -> Vec<(String, Vec<String>)> {
    let latency_ms = |operation: &str| match operation {
        "push" => "p(99)<1000",
        "search" => "p(95)<5000",
        "trace_by_id" => "p(95)<1000",
        _ => "p(95)<2000",
    };
    let of_operation = |operation: &&str| {
        [
            ("operation_failed", "rate<0.01"),
            ("http_req_duration", latency_ms(operation)),
        ]
        .map(|(metric, limit)| (format!("{metric}{{op:{operation}}}"), vec![limit.into()]))
    };
    operations.iter().flat_map(of_operation).collect()
}

/// The operations that a run tags its requests with.
fn operations(profile: &Profile, test_type: TestType) -> Vec<&'static str> {
    let mut operations = Vec::new();
    if test_type != TestType::Query {
        operations.push("push");
    }
    if test_type != TestType::Ingestion {
        let queries = profile.k6.query.queries.clone();
        let mix = queries.unwrap_or_else(query_mix::default_mix);
        let all = [
            Operation::Search,
            Operation::TraceById,
            Operation::Tags,
            Operation::TagValues,
        ];
        let asked = |operation: &Operation| mix.iter().any(|query| query.operation == *operation);
        operations.extend(all.into_iter().filter(asked).map(operation_tag));
    }
    operations
}

/// A threshold on the run, or both runs, that its metric belongs to.
fn on_runs(metric: &str, expression: &str, test_type: TestType) -> Vec<PlannedCheck> {
    let (bound, unit) = bound_and_unit(metric, expression);
    let name = format!("{metric}: {expression}");
    let planned = |name: String, run, not_applicable| {
        let measure = Measure::Threshold(ThresholdMeasure {
            run,
            metric: metric.into(),
            expression: expression.into(),
        });
        PlannedCheck {
            of_performance: true,
            not_applicable,
            ..PlannedCheck::new(name, Source::K6, measure, bound, unit.clone())
        }
    };
    match (operation_of(metric), loads(test_type)) {
        (Some(operation), running) => {
            let run = if operation == "push" {
                Run::Ingestion
            } else {
                Run::Query
            };
            let idle = !running.contains(&run);
            let why = || format!("a test of type {test_type} has no {operation} requests").into();
            vec![planned(name, run, idle.then(why))]
        }
        (None, &[run]) => vec![planned(name, run, None)],
        (None, running) => running
            .iter()
            .map(|&run| planned(format!("{name}, {run}"), run, None))
            .collect(),
    }
}

/// The `op` tag of a threshold's metric, `http_req_duration{op:push}`.
pub fn operation_of(metric: &str) -> Option<&str> {
    let tags = metric.split_once('{')?.1.trim_end_matches('}');
    tags.split(',')
        .find_map(|tag| tag.trim().strip_prefix("op:"))
        .map(str::trim)
}

/// What `expression` on `metric` demands. k6 knows times in milliseconds,
/// data in bytes, and rates as shares of 1.
fn bound_and_unit(metric: &str, expression: &str) -> (Bound, Unit) {
    let Ok(parsed) = threshold::parse(expression) else {
        // Profiles are checked when they are read; k6 has the last word.
        return (Bound::ANY, "".into());
    };
    let limit = parsed.bound;
    let exclusive = |bound: Bound| Bound {
        exclusive: true,
        ..bound
    };
    let bound = match parsed.comparator {
        Comparator::Less => exclusive(Bound::at_most(limit)),
        Comparator::LessOrEqual => Bound::at_most(limit),
        Comparator::Greater => exclusive(Bound::at_least(limit)),
        Comparator::GreaterOrEqual => Bound::at_least(limit),
        Comparator::Equal => Bound::between(limit, limit),
        // Nothing that a bound can say; the expression does.
        Comparator::NotEqual => Bound::ANY,
    };
    (bound, unit(metric, parsed.aggregation))
}

fn unit(metric: &str, aggregation: Aggregation) -> Unit {
    let name = metric.split('{').next().unwrap_or(metric);
    let time = matches!(
        name,
        "iteration_duration" | "group_duration" | "schedule_lag"
    ) || name
        .strip_prefix("http_req_")
        .is_some_and(|part| part != "failed");
    match aggregation {
        Aggregation::Count => "".into(),
        Aggregation::Rate if name.ends_with("_failed") || name == "checks" => Unit::Ratio,
        Aggregation::Rate => "per s".into(),
        _ if time => Unit::Milliseconds,
        _ if name.starts_with("data_") => Unit::Bytes,
        _ => "".into(),
    }
}

impl Family for ThresholdMeasure {
    fn expression(&self, _: &str, _: &Observations) -> String {
        format!("{}: {}", self.metric, self.expression)
    }

    fn finding(&self, _: &str, facts: Facts<'_>) -> Result<Finding, Reason> {
        let summary = facts.seen.summary(self.run)?;
        let (value, passed) = k6_values::threshold(summary, &self.metric, &self.expression)?;
        Ok(Finding::Judged { value, passed })
    }

    fn cause(&self, _: &Check, facts: Facts<'_>) -> Option<String> {
        if self.run == Run::Ingestion && self.metric.starts_with("operation_failed") {
            return cause::refusals(facts.seen);
        }
        self.metric.starts_with("http_req_duration").then(|| {
            "Tempo answered more slowly than the bound allows; compare CPU and memory of Tempo in \
             the metrics CSV, and try more resources or a smaller load"
                .into()
        })
    }

    /// Its name says what it demands.
    fn planned_text(&self, _: &PlannedCheck, _: Target) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::latency(
        "http_req_duration{op:search}",
        "p(95)<2000",
        None,
        Some(2000.0),
        true,
        "ms"
    )]
    #[case::failures(
        "operation_failed{op:push}",
        "rate<=0.01",
        None,
        Some(0.01),
        false,
        "ratio"
    )]
    #[case::at_least("iterations", "count>=10", Some(10.0), None, false, "")]
    #[case::rate_of_a_counter("http_reqs", "rate>5", Some(5.0), None, true, "per s")]
    #[case::exactly("dropped_iterations", "count==0", Some(0.0), Some(0.0), false, "")]
    fn thresholds_become_bounds(
        #[case] metric: &str,
        #[case] expression: &str,
        #[case] min: Option<f64>,
        #[case] max: Option<f64>,
        #[case] exclusive: bool,
        #[case] unit: &str,
    ) {
        let expected = (
            Bound {
                min,
                max,
                exclusive,
            },
            unit.into(),
        );
        assert_eq!(bound_and_unit(metric, expression), expected);
    }
}
