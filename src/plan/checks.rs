//! The checks that a run will be judged by, all known before the load: k6
//! thresholds, Prometheus SLOs, and what every load test must show of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Capabilities, thresholds};
use crate::k6::{Run, load::operation_tag};
use crate::profile::{CollectorMode, Operation, Profile, Slo, variables};
use crate::settings::{Target, TestType};
use crate::verdict::{Bound, Source};

/// Largest miss of the load's target: 2 %, or two requests where that is more.
pub const LOAD_TOLERANCE: f64 = 0.02;

/// Share of its cores from which a generator or collector counts as busy.
pub const BUSY_CORES: f64 = 0.9;

/// Share of a machine's cores from which nobody on it can be called slow.
const BUSY_MACHINE: f64 = 0.95;

/// 95th percentile of the lag behind the schedule that a healthy generator keeps.
const MAX_SCHEDULE_LAG_MS: f64 = 100.0;

/// How late both k6 runs may start after the common start.
const MAX_START_LAG_MS: f64 = 500.0;

/// Of what was pushed and what Tempo counted: more at Tempo is as wrong as less.
const NEITHER_LOST_NOR_GAINED: Bound = Bound {
    min: Some(0.0),
    max: Some(0.0),
    exclusive: false,
};

/// How a check's value is measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// A k6 threshold on a metric (with its tags) of the run.
    Threshold {
        #[serde(rename = "role")]
        run: Run,
        metric: String,
        expression: String,
    },
    /// PromQL with the variables still in it; with `of`, the bound is a factor
    /// of the variable of that name.
    PromQl {
        expression: String,
        of: Option<String>,
    },
    AcknowledgedBytes,
    QueriesDone,
    DroppedIterations(Run),
    IterationExceptions(Run),
    InterruptedIterations(Run),
    SpansAtTempo,
    BytesAtTempo,
    OtherDiscardedSpans,
    SearchesWithTraces,
    ReadBack(ReadBackFault),
    ScheduleLag(Run),
    StartLag(Run),
    EndedComponents,
    MachineCores,
    K6Cores(Run),
    CollectorCores,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadBackFault {
    Missing,
    Partial,
    Altered,
}

/// A check before the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedCheck {
    pub name: String,
    pub source: Source,
    pub measure: Measure,
    pub bound: Bound,
    pub unit: String,
    /// Whether it measures how fast or how much: worth nothing when the load
    /// generator or the collector was the bottleneck.
    pub of_performance: bool,
    /// Why it does not apply, decided before the load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<String>,
}

/// Default thresholds of an operation: failures under 1 %, and k6's latency.
fn default_thresholds(operations: &[&str]) -> Vec<(String, Vec<String>)> {
    let latency_ms = |operation: &str| match operation {
        "push" => "p(99)<1000",
        "search" => "p(95)<5000",
        "trace_by_id" => "p(95)<1000",
        _ => "p(95)<2000",
    };
    operations
        .iter()
        .flat_map(|operation| {
            [
                (
                    format!("operation_failed{{op:{operation}}}"),
                    vec!["rate<0.01".to_string()],
                ),
                (
                    format!("http_req_duration{{op:{operation}}}"),
                    vec![latency_ms(operation).to_string()],
                ),
            ]
        })
        .collect()
}

/// Default SLOs of runs that ingest.
pub fn default_slos() -> Vec<Slo> {
    let slo = |name: &str, expr: &str, max: f64, unit: &str| Slo {
        name: name.into(),
        expr: expr.into(),
        min: None,
        max: Some(max),
        of: None,
        unit: unit.into(),
    };
    vec![
        slo(
            "push latency p99",
            "histogram_quantile(0.99, sum by (le) (increase(\
             tempo_distributor_push_duration_seconds_bucket{${sel}}[${window}])))",
            1.0,
            "s",
        ),
        // Raw counters: increase() would miss the first value of a new series. And
        // a Tempo that is gone has discarded an unknown number, not none.
        slo(
            "discarded spans",
            "(sum(tempo_discarded_spans_total{${sel}}) or vector(0)) - \
             (sum(tempo_discarded_spans_total{${sel}} offset ${window}) or vector(0)) \
             and on() (sum(up{${sel}}) > 0)",
            0.0,
            "spans",
        ),
        slo(
            "Tempo restarts",
            "sum(changes(process_start_time_seconds{${sel}}[${window}])) \
             and on() (sum(up{${sel}}) > 0)",
            0.0,
            "restarts",
        ),
    ]
}

/// The operations that a run tags its requests with.
pub fn operations(profile: &Profile, test_type: TestType) -> Vec<&'static str> {
    let mut operations = Vec::new();
    if test_type != TestType::Query {
        operations.push("push");
    }
    if test_type != TestType::Ingestion {
        let queries = profile.k6.query.queries.clone();
        let mix = queries.unwrap_or_else(crate::k6::query_mix::default_mix);
        for operation in [
            Operation::Search,
            Operation::TraceById,
            Operation::Tags,
            Operation::TagValues,
        ] {
            if mix.iter().any(|query| query.operation == operation) {
                operations.push(operation_tag(operation));
            }
        }
    }
    operations
}

/// All checks of a case, in the order in which they are shown.
/// `cores` are this machine's.
pub fn plan(
    profile: &Profile,
    test_type: TestType,
    target: Target,
    cores: usize,
) -> Vec<PlannedCheck> {
    let mut checks = load_checks(profile, test_type);
    checks.extend(threshold_checks(profile, test_type));
    checks.extend(slo_checks(profile, test_type));
    checks.extend(read_back_checks(test_type));
    checks.extend(generator_checks(test_type, target, cores));
    checks
}

fn check(name: impl Into<String>, source: Source, measure: Measure) -> PlannedCheck {
    PlannedCheck {
        name: name.into(),
        source,
        measure,
        bound: Bound {
            min: None,
            max: Some(0.0),
            exclusive: false,
        },
        unit: String::new(),
        of_performance: false,
        not_applicable: None,
    }
}

fn load_checks(profile: &Profile, test_type: TestType) -> Vec<PlannedCheck> {
    let within = Bound {
        min: Some(1.0 - LOAD_TOLERANCE),
        max: Some(1.0 + LOAD_TOLERANCE),
        exclusive: false,
    };
    let mut checks = Vec::new();
    if test_type != TestType::Query {
        checks.push(PlannedCheck {
            // The bound is in bytes per second once the load is known.
            bound: within,
            unit: "B/s".into(),
            of_performance: true,
            ..check(
                "bytes acknowledged",
                Source::Load,
                Measure::AcknowledgedBytes,
            )
        });
    }
    if test_type != TestType::Ingestion {
        checks.push(PlannedCheck {
            bound: within,
            unit: "queries/s".into(),
            of_performance: true,
            ..check("queries done", Source::Load, Measure::QueriesDone)
        });
    }
    checks.push(PlannedCheck {
        unit: "components".into(),
        ..check(
            "components that ended",
            Source::Load,
            Measure::EndedComponents,
        )
    });
    for run in loads(test_type) {
        let name = |what: &str| format!("{what}, {}", run.name());
        checks.push(PlannedCheck {
            unit: "iterations".into(),
            of_performance: true,
            ..check(
                name("dropped iterations"),
                Source::Load,
                Measure::DroppedIterations(run),
            )
        });
        checks.push(PlannedCheck {
            unit: "exceptions".into(),
            ..check(
                name("script exceptions"),
                Source::Load,
                Measure::IterationExceptions(run),
            )
        });
        checks.push(PlannedCheck {
            unit: "iterations".into(),
            ..check(
                name("interrupted iterations"),
                Source::Load,
                Measure::InterruptedIterations(run),
            )
        });
    }
    if test_type != TestType::Query {
        checks.push(PlannedCheck {
            bound: NEITHER_LOST_NOR_GAINED,
            unit: "spans".into(),
            ..check(
                "spans lost before Tempo",
                Source::Load,
                Measure::SpansAtTempo,
            )
        });
        checks.push(PlannedCheck {
            bound: NEITHER_LOST_NOR_GAINED,
            unit: "B".into(),
            not_applicable: (profile.k6.ingestion.collector == CollectorMode::Queued)
                .then(|| "a queued collector may send a request again".into()),
            ..check(
                "bytes lost before Tempo",
                Source::Load,
                Measure::BytesAtTempo,
            )
        });
        checks.push(PlannedCheck {
            unit: "spans".into(),
            ..check(
                "spans discarded in Tempo",
                Source::Load,
                Measure::OtherDiscardedSpans,
            )
        });
    }
    if test_type != TestType::Ingestion && profile.k6.query.queries.is_none() {
        checks.push(PlannedCheck {
            bound: Bound {
                min: Some(1.0),
                max: None,
                exclusive: false,
            },
            unit: "searches".into(),
            ..check(
                "searches that found traces",
                Source::Load,
                Measure::SearchesWithTraces,
            )
        });
    }
    checks
}

fn threshold_checks(profile: &Profile, test_type: TestType) -> Vec<PlannedCheck> {
    let defaults = default_thresholds(&operations(profile, test_type));
    let mut merged: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    let given = profile.thresholds.as_ref();
    if given.is_none_or(|given| !given.is_empty()) {
        for (metric, expressions) in defaults {
            order.push(metric.clone());
            merged.insert(metric, expressions);
        }
    }
    for (metric, expressions) in given.into_iter().flatten() {
        if merged.insert(metric.clone(), expressions.clone()).is_none() {
            order.push(metric.clone());
        }
    }
    let mut checks = Vec::new();
    for metric in order {
        for expression in merged.remove(&metric).unwrap_or_default() {
            checks.extend(threshold_on_runs(&metric, &expression, test_type));
        }
    }
    checks
}

/// A threshold on the run, or both runs, that its metric belongs to.
fn threshold_on_runs(metric: &str, expression: &str, test_type: TestType) -> Vec<PlannedCheck> {
    let (bound, unit) = thresholds::bound_and_unit(metric, expression);
    let planned = |name: String, run, not_applicable| PlannedCheck {
        bound,
        unit: unit.clone(),
        of_performance: true,
        not_applicable,
        ..check(
            name,
            Source::K6,
            Measure::Threshold {
                run,
                metric: metric.to_string(),
                expression: expression.to_string(),
            },
        )
    };
    let name = format!("{metric}: {expression}");
    let running = loads(test_type);
    match operation_of(metric) {
        Some(operation) => {
            let run = if operation == "push" {
                Run::Ingestion
            } else {
                Run::Query
            };
            let idle = (!running.contains(&run))
                .then(|| format!("a test of type {test_type} has no {operation} requests"));
            vec![planned(name, run, idle)]
        }
        None if running.len() == 1 => vec![planned(name, running[0], None)],
        None => running
            .into_iter()
            .map(|run| planned(format!("{name}, {}", run.name()), run, None))
            .collect(),
    }
}

/// The `op` tag of a threshold's metric, `http_req_duration{op:push}`.
pub(super) fn operation_of(metric: &str) -> Option<&str> {
    let tags = metric.split_once('{')?.1.trim_end_matches('}');
    tags.split(',')
        .find_map(|tag| tag.trim().strip_prefix("op:"))
        .map(str::trim)
}

/// Why an SLO on one side of the load says nothing in a test of the other.
fn idle_side(slo: &Slo, test_type: TestType) -> Option<&'static str> {
    let of = slo.of.as_deref().unwrap_or_default();
    let on_queries = of.contains("target_queries_per_second");
    let on_pushes = slo.name == "push latency p99" || (of.contains("target_") && !on_queries);
    match test_type {
        TestType::Query if on_pushes => Some("nothing is pushed in a query test"),
        TestType::Ingestion if on_queries => Some("nothing is asked in an ingestion test"),
        _ => None,
    }
}

fn slo_checks(profile: &Profile, test_type: TestType) -> Vec<PlannedCheck> {
    let mut slos: Vec<Slo> = match &profile.slos {
        Some(given) if given.is_empty() => Vec::new(),
        _ => default_slos(),
    };
    for given in profile.slos.iter().flatten() {
        match slos.iter_mut().find(|slo| slo.name == given.name) {
            Some(default) => *default = given.clone(),
            None => slos.push(given.clone()),
        }
    }
    slos.into_iter()
        .map(|slo| {
            let idle = idle_side(&slo, test_type);
            PlannedCheck {
                bound: Bound {
                    min: slo.min,
                    max: slo.max,
                    exclusive: false,
                },
                unit: slo.unit,
                of_performance: true,
                not_applicable: idle.map(str::to_string),
                ..check(
                    slo.name,
                    Source::Prometheus,
                    Measure::PromQl {
                        expression: slo.expr,
                        of: slo.of.as_deref().map(variable_name),
                    },
                )
            }
        })
        .collect()
}

/// `target_bytes_per_second` of `${target_bytes_per_second}`.
fn variable_name(of: &str) -> String {
    // Profiles are checked when they are read.
    variables::factor_of(of).map_or(of, |v| v.name).to_string()
}

fn read_back_checks(test_type: TestType) -> Vec<PlannedCheck> {
    if test_type == TestType::Query {
        return Vec::new();
    }
    [
        ("traces missing", ReadBackFault::Missing),
        ("traces partial", ReadBackFault::Partial),
        ("traces altered", ReadBackFault::Altered),
    ]
    .into_iter()
    .map(|(name, fault)| PlannedCheck {
        unit: "traces".into(),
        ..check(name, Source::ReadBack, Measure::ReadBack(fault))
    })
    .collect()
}

fn generator_checks(test_type: TestType, target: Target, cores: usize) -> Vec<PlannedCheck> {
    let mut checks = Vec::new();
    let at_most = |max: f64| Bound {
        min: None,
        max: Some(max),
        exclusive: false,
    };
    for run in loads(test_type) {
        let name = |what: &str| format!("{what}, {}", run.name());
        checks.push(PlannedCheck {
            bound: at_most(MAX_SCHEDULE_LAG_MS),
            unit: "ms".into(),
            ..check(
                name("schedule lag p95"),
                Source::Generator,
                Measure::ScheduleLag(run),
            )
        });
        checks.push(PlannedCheck {
            bound: at_most(MAX_START_LAG_MS),
            unit: "ms".into(),
            ..check(
                name("late start"),
                Source::Generator,
                Measure::StartLag(run),
            )
        });
        checks.push(PlannedCheck {
            bound: at_most(BUSY_CORES * cores as f64),
            unit: "cores".into(),
            ..check(name("k6 CPU"), Source::Generator, Measure::K6Cores(run))
        });
    }
    checks.push(PlannedCheck {
        bound: at_most(BUSY_MACHINE * cores as f64),
        unit: "cores".into(),
        not_applicable: (target == Target::Kubernetes)
            .then(|| "the load does not run on this machine".into()),
        ..check("machine CPU", Source::Generator, Measure::MachineCores)
    });
    if test_type != TestType::Query {
        checks.push(PlannedCheck {
            bound: at_most(BUSY_CORES * cores as f64),
            unit: "cores".into(),
            ..check("collector CPU", Source::Generator, Measure::CollectorCores)
        });
    }
    checks
}

/// What this environment cannot measure does not apply; and where k6 and the
/// collector have limits of their own, those count.
pub(super) fn settle(checks: &mut [PlannedCheck], capabilities: &Capabilities) {
    for check in checks {
        let cores = match &check.measure {
            Measure::K6Cores(_) => &capabilities.k6_cores,
            Measure::CollectorCores => &capabilities.collector_cores,
            _ => &Ok(None),
        };
        if let Ok(Some(cores)) = cores {
            check.bound.max = Some(BUSY_CORES * cores);
        }
        let missing = match &check.measure {
            Measure::PromQl { .. }
            | Measure::SpansAtTempo
            | Measure::BytesAtTempo
            | Measure::OtherDiscardedSpans => capabilities.tempo_metrics.as_ref().err(),
            Measure::ReadBack(_) => capabilities.read_back.as_ref().err(),
            Measure::CollectorCores => {
                let cpu = capabilities.collector_cpu.as_ref().err();
                cpu.or(cores.as_ref().err())
            }
            Measure::K6Cores(_) => cores.as_ref().err(),
            _ => None,
        };
        if let (Some(why), None) = (missing, &check.not_applicable) {
            check.not_applicable = Some(why.clone());
        }
    }
}

/// The k6 runs that put on the load of a test type.
pub fn loads(test_type: TestType) -> Vec<Run> {
    match test_type {
        TestType::Ingestion => vec![Run::Ingestion],
        TestType::Query => vec![Run::Query],
        TestType::Combined => vec![Run::Ingestion, Run::Query],
    }
}
