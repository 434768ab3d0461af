//! SLOs over Prometheus: the profile's, and those of every run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::check::{Bound, Check, Reason, Source};
use super::{Capabilities, Facts, Family, Finding, Measure, Notation, Observations, PlannedCheck};
use crate::k6::solve::SolvedLoad;
use crate::profile::{Profile, Slo, variables};
use crate::settings::{Target, TestType};

/// PromQL with the variables still in it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PromQlMeasure {
    pub expression: String,
    /// The variable that the profile's bound is a factor of.
    pub of: Option<String>,
    /// The bound as the profile says it.
    #[serde(skip)]
    given: Bound,
}

/// The side of the load that an SLO looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Pushes,
    Queries,
}

impl Side {
    /// Why an SLO on this side says nothing in a test of the other.
    fn idle(self, test_type: TestType) -> Option<&'static str> {
        match (self, test_type) {
            (Side::Pushes, TestType::Query) => Some("nothing is pushed in a query test"),
            (Side::Queries, TestType::Ingestion) => Some("nothing is asked in an ingestion test"),
            (Side::Pushes | Side::Queries, _) => None,
        }
    }
}

/// An SLO and, if it looks at one only, its side. A profile's own SLO has that of
/// the default that it replaces.
type OnSide = (Slo, Option<Side>);

/// An SLO in the profile replaces the default of its name; an empty list removes
/// the defaults.
pub(super) fn planned(
    profile: &Profile,
    test_type: TestType,
    load: SolvedLoad<'_>,
) -> Vec<PlannedCheck> {
    let mut slos: Vec<OnSide> = match &profile.slos {
        Some(given) if given.is_empty() => Vec::new(),
        _ => defaults(),
    };
    for given in profile.slos.iter().flatten() {
        match slos.iter_mut().find(|(slo, _)| slo.name == given.name) {
            Some((default, _)) => default.clone_from(given),
            None => slos.push((given.clone(), None)),
        }
    }
    slos.into_iter()
        .map(|slo| planned_slo(slo, test_type, load))
        .collect()
}

fn planned_slo((slo, side): OnSide, test_type: TestType, load: SolvedLoad<'_>) -> PlannedCheck {
    // Profiles are checked when they are read.
    let of = slo
        .of
        .as_deref()
        .map(|of| variables::factor_of(of).map_or(of, |it| it.name));
    let given = Bound {
        min: slo.min,
        max: slo.max,
        exclusive: false,
    };
    let factor = of.map_or(1.0, |of| number(load, of));
    let side_of_factor = of.and_then(|of| match of.strip_prefix("target_")? {
        "queries_per_second" => Some(Side::Queries),
        _ => Some(Side::Pushes),
    });
    let idle = |side: Option<Side>| side?.idle(test_type);
    let measure = Measure::PromQl(PromQlMeasure {
        expression: slo.expr,
        of: of.map(str::to_owned),
        given,
    });
    let bound = given.times(factor);
    PlannedCheck {
        of_performance: true,
        not_applicable: idle(side)
            .or_else(|| idle(side_of_factor))
            .map(Reason::from),
        ..PlannedCheck::new(slo.name, Source::Prometheus, measure, bound, slo.unit)
    }
}

fn defaults() -> Vec<OnSide> {
    let slo = |name: &str, expr: &str, max: f64, unit: &str| Slo {
        name: name.into(),
        expr: expr.into(),
        min: None,
        max: Some(max),
        of: None,
        unit: unit.into(),
    };
    let push_latency = slo(
        "push latency p99",
        "histogram_quantile(0.99, sum by (le) (increase(\
         tempo_distributor_push_duration_seconds_bucket{${sel}}[${window}])))",
        1.0,
        "s",
    );
    // Raw counters: increase() would miss the first value of a new series. And a
    // Tempo that is gone has discarded an unknown number, not none.
    let discarded = slo(
        "discarded spans",
        "(sum(tempo_discarded_spans_total{${sel}}) or vector(0)) - \
         (sum(tempo_discarded_spans_total{${sel}} offset ${window}) or vector(0)) \
         and on() (sum(up{${sel}}) > 0)",
        0.0,
        "spans",
    );
    let restarts = slo(
        "Tempo restarts",
        "sum(changes(process_start_time_seconds{${sel}}[${window}])) \
         and on() (sum(up{${sel}}) > 0)",
        0.0,
        "restarts",
    );
    vec![
        (push_latency, Some(Side::Pushes)),
        (discarded, None),
        (restarts, None),
    ]
}

/// The variables that are numbers: what `of` may name.
fn numbers(load: SolvedLoad<'_>) -> [(&'static str, f64); 6] {
    let ingestion = load.ingestion;
    [
        ("window_seconds", load.duration.as_secs_f64()),
        (
            "target_bytes_per_second",
            ingestion.target_bytes_per_second.bytes_per_second(),
        ),
        (
            "target_spans_per_second",
            ingestion.spans_per_second().as_per_second(),
        ),
        (
            "target_traces_per_second",
            ingestion.traces_per_second().as_per_second(),
        ),
        (
            "target_requests_per_second",
            ingestion.requests_per_second.as_per_second(),
        ),
        (
            "target_queries_per_second",
            load.query.queries_per_second.as_per_second(),
        ),
    ]
}

/// A bound of what is not known holds for no value.
fn number(load: SolvedLoad<'_>, name: &str) -> f64 {
    let found = numbers(load).into_iter().find(|(known, _)| *known == name);
    found.map_or(f64::NAN, |(_, value)| value)
}

/// Values of the variables in SLO expressions.
pub fn variable_values(load: SolvedLoad<'_>, selector: &str) -> BTreeMap<&'static str, String> {
    let texts = [
        ("sel", selector.to_owned()),
        ("window", format!("{}ms", load.duration.as_millis())),
        ("rp", String::new()),
    ];
    let numbers = numbers(load).map(|(name, value)| (name, value.to_string()));
    texts.into_iter().chain(numbers).collect()
}

impl Family for PromQlMeasure {
    fn expression(&self, name: &str, seen: &Observations) -> String {
        match seen.promql.get(name) {
            Some((sent, _)) => sent.clone(),
            None => self.expression.clone(),
        }
    }

    fn finding(&self, name: &str, facts: Facts<'_>) -> Result<Finding, Reason> {
        match facts.seen.promql.get(name) {
            Some((_, value)) => Ok(Finding::Value(value.clone()?)),
            None => Err("the expression was not evaluated".into()),
        }
    }

    fn cause(&self, _: &Check, _: Facts<'_>) -> Option<String> {
        None
    }

    fn cause_of_no_value(&self, why: &Reason, _: &Observations) -> Option<String> {
        let cause = if why.contains("parse error") {
            "the expression is not PromQL: correct it in the profile's slos"
        } else {
            "Prometheus has no such number for the window; try the expression on the metrics that \
             --check-metrics lists"
        };
        Some(cause.into())
    }

    fn bound_in(&self, planned: Bound, place: &Capabilities) -> Result<Bound, Reason> {
        place.tempo_metrics.as_ref().map_err(Clone::clone)?;
        Ok(planned)
    }

    fn planned_text(&self, check: &PlannedCheck, _: Target) -> String {
        let given = self.given.text(&check.unit, Notation::Sentence);
        let of = self.of.as_ref();
        let of = of.map_or(String::new(), |of| format!(" of ${{{of}}}"));
        format!(" {given}{of}   [{}]", self.expression)
    }
}
