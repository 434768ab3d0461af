//! From what was observed to checks with outcomes: a pure function.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bound, Check, Outcome, Source};
use super::{cause, k6_values};
use crate::k6::Run;
use crate::k6::load::operation_tag;
use crate::k6::summary::Summary;
use crate::plan::Plan;
use crate::plan::checks::{LOAD_TOLERANCE, Measure, PlannedCheck, ReadBackFault};
use crate::plan::render;
use crate::units::{ByteRate, Significant};

/// Everything that a run left to judge it by. An `Err` says why a value is not
/// there; nothing is ever zero for lack of data.
#[derive(Debug, Clone)]
pub struct Observations {
    pub runs: BTreeMap<Run, RunObserved>,
    /// What Tempo's raw counters gained over the run.
    pub tempo: Result<TempoCounted, String>,
    /// Set when a counter went backwards: what it had counted is lost.
    pub tempo_restarted: Option<String>,
    /// By the check's name: the expression as it was sent, and its value.
    pub promql: BTreeMap<String, (String, Result<f64, String>)>,
    pub read_back: Result<ReadBackFound, String>,
    pub collector_cores: Result<f64, String>,
    /// Cores of this machine that were busy, whoever used them.
    pub machine_cores: Result<f64, String>,
    /// What was pushed, by the responses that k6 saw.
    pub pushed: Result<Pushed, String>,
    /// What ended although it should run, each with its last words.
    pub dead_components: Vec<String>,
}

/// One k6 run.
#[derive(Debug, Clone)]
pub struct RunObserved {
    pub summary: Result<Summary, String>,
    pub interrupted_iterations: Result<u64, String>,
    /// CPU seconds per second of the run.
    pub cores: Result<f64, String>,
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

/// Judges a run.
pub fn judge(plan: &Plan, observations: &Observations) -> Vec<Check> {
    let mut checks: Vec<Check> = plan
        .checks
        .iter()
        .map(|planned| judge_one(plan, planned, observations))
        .collect();
    if let Some(bottleneck) = bottleneck(&checks) {
        let reached = reached(plan, observations);
        for (check, planned) in checks.iter_mut().zip(&plan.checks) {
            let judged = matches!(check.outcome, Outcome::Passed | Outcome::Violated);
            if planned.of_performance && judged {
                check.outcome = Outcome::Unmeasured;
                check.reason = Some(format!("{bottleneck} was the bottleneck; {reached}"));
            }
        }
    }
    cause::explain(plan, observations, &mut checks);
    checks
}

fn judge_one(plan: &Plan, planned: &PlannedCheck, observations: &Observations) -> Check {
    let mut check = Check {
        name: planned.name.clone(),
        source: planned.source,
        expression: expression(planned, observations),
        observed: None,
        bound: bound(plan, planned),
        unit: planned.unit.clone(),
        outcome: Outcome::NotApplicable,
        reason: planned.not_applicable.clone(),
        likely_cause: None,
    };
    if planned.not_applicable.is_some() {
        return check;
    }
    let by_counters = matches!(
        planned.measure,
        Measure::SpansAtTempo | Measure::BytesAtTempo | Measure::OtherDiscardedSpans
    );
    if by_counters && let Some(restarted) = &observations.tempo_restarted {
        check.outcome = Outcome::Violated;
        check.reason = Some(restarted.clone());
        return check;
    }
    let measured = measure(plan, planned, observations);
    match measured.and_then(Measured::a_number) {
        Ok(Measured { value, passed }) => {
            check.observed = Some(value);
            let passed = passed.unwrap_or_else(|| check.bound.holds(value));
            check.outcome = if passed {
                Outcome::Passed
            } else {
                Outcome::Violated
            };
        }
        Err(reason) => {
            check.outcome = Outcome::Unmeasured;
            check.reason = Some(reason);
        }
    }
    check
}

/// Share of an iteration spent waiting for the answer from which the answers,
/// and not the script, keep the virtual users busy.
const MOSTLY_WAITING: f64 = 0.8;

struct Measured {
    value: f64,
    /// k6's own verdict, where it gave one.
    passed: Option<bool>,
}

impl Measured {
    /// What is not a number, such as a share of nothing, was not measured.
    fn a_number(self) -> Result<Self, String> {
        if self.value.is_nan() {
            return Err("the value is not a number (NaN)".into());
        }
        Ok(self)
    }
}

fn measure(
    plan: &Plan,
    planned: &PlannedCheck,
    observations: &Observations,
) -> Result<Measured, String> {
    let plain = |value: f64| {
        Ok(Measured {
            value,
            passed: None,
        })
    };
    let seconds = plan.duration.as_secs_f64();
    match &planned.measure {
        Measure::Threshold {
            run,
            metric,
            expression,
        } => {
            let summary = summary(observations, *run)?;
            let (value, passed) = k6_values::threshold(summary, metric, expression)?;
            Ok(Measured {
                value,
                passed: Some(passed),
            })
        }
        Measure::PromQl { .. } => match observations.promql.get(&planned.name) {
            Some((_, value)) => plain(value.clone()?),
            None => Err("the expression was not evaluated".into()),
        },
        Measure::AcknowledgedBytes => {
            let bytes = k6_values::acknowledged_bytes(summary(observations, Run::Ingestion)?)?;
            plain(bytes / seconds)
        }
        Measure::QueriesDone => plain(queries_done(plan, observations)? / seconds),
        Measure::DroppedIterations(run) => {
            plain(k6_values::dropped_iterations(summary(observations, *run)?)?)
        }
        Measure::IterationExceptions(run) => {
            plain(k6_values::script_exceptions(summary(observations, *run)?)?)
        }
        Measure::InterruptedIterations(run) => {
            let count = observed(observations, *run)?
                .interrupted_iterations
                .clone()?;
            plain(count as f64)
        }
        Measure::SpansAtTempo => {
            let counted = observations.tempo.clone()?;
            let pushed = observations.pushed.clone()?;
            let expected = pushed.spans_acknowledged + pushed.spans_rate_limited;
            let counted = counted.spans_received + counted.spans_rate_limited;
            plain(lost(expected, counted, pushed.spans_uncertain))
        }
        Measure::BytesAtTempo => {
            let counted = observations.tempo.clone()?;
            let pushed = observations.pushed.clone()?;
            plain(lost(
                pushed.bytes_acknowledged,
                counted.bytes_received,
                pushed.bytes_uncertain,
            ))
        }
        Measure::OtherDiscardedSpans => {
            plain(observations.tempo.clone()?.spans_discarded_otherwise)
        }
        Measure::SearchesWithTraces => plain(k6_values::searches_with_traces(summary(
            observations,
            Run::Query,
        )?)?),
        Measure::ReadBack(fault) => {
            let found = observations.read_back.clone()?;
            if found.sampled == 0 {
                return Err("no trace was accepted, so none could be read back".into());
            }
            plain(match fault {
                ReadBackFault::Missing => found.missing,
                ReadBackFault::Partial => found.partial,
                ReadBackFault::Altered => found.altered,
            } as f64)
        }
        Measure::ScheduleLag(run) => {
            let summary = summary(observations, *run)?;
            let lag_ms = k6_values::schedule_lag_p95_ms(summary)?;
            // A dropped iteration takes no number, so each one makes all later
            // ones look late by a period. That is not k6's lag where its users
            // were waiting for answers; it is where they were busy themselves.
            let waiting = k6_values::share_of_waiting(summary);
            if waiting.is_none_or(|share| share < MOSTLY_WAITING) {
                return plain(lag_ms);
            }
            let schedule = plan.schedule(*run).ok_or("it has no schedule")?;
            let period_ms = 1000.0 / schedule.rate.as_per_second();
            let by_drops = k6_values::dropped_iterations(summary)? * period_ms;
            plain((lag_ms - by_drops).max(0.0))
        }
        Measure::EndedComponents => plain(observations.dead_components.len() as f64),
        Measure::MachineCores => plain(observations.machine_cores.clone()?),
        Measure::StartLag(run) => plain(k6_values::start_lag_ms(summary(observations, *run)?)?),
        Measure::K6Cores(run) => plain(observed(observations, *run)?.cores.clone()?),
        Measure::CollectorCores => plain(observations.collector_cores.clone()?),
    }
}

/// What Tempo counted too little; negative when it counted too much. What is
/// uncertain it may have counted or not.
fn lost(expected: f64, counted: f64, uncertain: f64) -> f64 {
    let lost = expected - counted;
    if lost < 0.0 && -lost <= uncertain {
        0.0
    } else {
        lost
    }
}

fn queries_done(plan: &Plan, observations: &Observations) -> Result<f64, String> {
    let operations: BTreeSet<&str> = plan
        .query
        .queries
        .iter()
        .map(|query| operation_tag(query.operation))
        .collect();
    let operations: Vec<&str> = operations.into_iter().collect();
    k6_values::queries_done(summary(observations, Run::Query)?, &operations)
}

fn observed(observations: &Observations, of: Run) -> Result<&RunObserved, String> {
    observations
        .runs
        .get(&of)
        .ok_or_else(|| format!("there was no {} run", of.name()))
}

fn summary(observations: &Observations, of: Run) -> Result<&Summary, String> {
    observed(observations, of)?
        .summary
        .as_ref()
        .map_err(Clone::clone)
}

/// The bound in the check's unit: for the load, 2 % or two requests around the
/// target; for a PromQL check with `of`, a multiple of that variable.
fn bound(plan: &Plan, planned: &PlannedCheck) -> Bound {
    let seconds = plan.duration.as_secs_f64();
    let around = |target: f64, of_one: f64| {
        let miss = (target * LOAD_TOLERANCE).max(2.0 * of_one / seconds);
        Bound {
            min: Some(target - miss),
            max: Some(target + miss),
            exclusive: false,
        }
    };
    match &planned.measure {
        Measure::AcknowledgedBytes => around(
            plan.ingestion.target_bytes_per_second.bytes_per_second(),
            plan.ingestion.mean_request_bytes,
        ),
        Measure::QueriesDone => around(plan.query.queries_per_second.as_per_second(), 1.0),
        Measure::PromQl { of: Some(of), .. } => {
            let factor = plan
                .variables("")
                .get(of.as_str())
                .and_then(|value| value.parse::<f64>().ok())
                .unwrap_or(f64::NAN);
            Bound {
                min: planned.bound.min.map(|min| min * factor),
                max: planned.bound.max.map(|max| max * factor),
                exclusive: planned.bound.exclusive,
            }
        }
        _ => planned.bound,
    }
}

fn expression(planned: &PlannedCheck, observations: &Observations) -> String {
    match &planned.measure {
        Measure::Threshold {
            metric, expression, ..
        } => format!("{metric}: {expression}"),
        Measure::PromQl { expression, .. } => match observations.promql.get(&planned.name) {
            Some((sent, _)) => sent.clone(),
            None => expression.clone(),
        },
        Measure::AcknowledgedBytes => "body bytes of accepted requests / planned time".into(),
        Measure::QueriesDone => "queries answered as they should be / planned time".into(),
        Measure::DroppedIterations(_) => "k6 dropped_iterations".into(),
        Measure::IterationExceptions(_) => "exceptions caught in iterations".into(),
        Measure::InterruptedIterations(_) => "iterations cut off at the end".into(),
        Measure::SpansAtTempo => {
            "spans accepted or rate-limited - Δtempo_distributor_spans_received_total \
             - Δtempo_discarded_spans_total{reason=\"rate_limited\"}"
                .into()
        }
        Measure::BytesAtTempo => {
            "body bytes of accepted requests - Δtempo_distributor_bytes_received_total".into()
        }
        Measure::OtherDiscardedSpans => {
            "Δtempo_discarded_spans_total{reason!=\"rate_limited\"}".into()
        }
        Measure::SearchesWithTraces => "searches whose answer held a trace".into(),
        Measure::ReadBack(_) => match &observations.read_back {
            Ok(found) => format!("by ID, of {} traces spread over the run", found.sampled),
            Err(_) => "by ID, traces spread over the run".into(),
        },
        Measure::ScheduleLag(_) => {
            "actual minus planned start of iterations, p95, less a period for each drop".into()
        }
        Measure::EndedComponents => "processes that ended during the run".into(),
        Measure::MachineCores => "busy CPU seconds of this machine per second".into(),
        Measure::StartLag(_) => "start of the load after the planned time".into(),
        Measure::K6Cores(_) | Measure::CollectorCores => "CPU seconds per second".into(),
    }
}

/// Who on the load's side was too slow for the load to count, if anyone.
fn bottleneck(checks: &[Check]) -> Option<String> {
    let slow: Vec<String> = checks
        .iter()
        .filter(|check| check.source == Source::Generator && check.outcome == Outcome::Violated)
        .map(|check| {
            let who = match check.name.split_whitespace().next() {
                Some("collector") => "the collector",
                Some("machine") => "this machine",
                _ => "k6",
            };
            format!(
                "{who} ({} {} {}, bound {})",
                check.name,
                Significant(check.observed.unwrap_or(f64::NAN)),
                check.unit,
                render::bound(&check.bound, &check.unit),
            )
        })
        .collect();
    (!slow.is_empty()).then(|| slow.join(" and "))
}

fn reached(plan: &Plan, observations: &Observations) -> String {
    let seconds = plan.duration.as_secs_f64();
    let mut parts = Vec::new();
    if let Ok(bytes) = summary(observations, Run::Ingestion).and_then(k6_values::acknowledged_bytes)
    {
        let rate = ByteRate::from_bytes_per_second(bytes / seconds);
        parts.push(format!(
            "{rate} of {}",
            plan.ingestion.target_bytes_per_second
        ));
    }
    if let Ok(queries) = queries_done(plan, observations) {
        parts.push(format!(
            "{} of {} queries/s",
            Significant(queries / seconds),
            Significant(plan.query.queries_per_second.as_per_second())
        ));
    }
    if parts.is_empty() {
        "it reached nothing".into()
    } else {
        format!("it reached {}", parts.join(" and "))
    }
}

/// Average cores that `cpu` seconds in `wall` time make.
pub fn cores(cpu: Duration, wall: Duration) -> Result<f64, String> {
    if wall.is_zero() {
        return Err("it ran for no time".into());
    }
    Ok(cpu.as_secs_f64() / wall.as_secs_f64())
}

impl Bound {
    pub fn holds(&self, value: f64) -> bool {
        let above = self.min.is_none_or(|min| {
            if self.exclusive {
                value > min
            } else {
                value >= min
            }
        });
        let below = self.max.is_none_or(|max| {
            if self.exclusive {
                value < max
            } else {
                value <= max
            }
        });
        // A NaN is neither.
        above && below && !value.is_nan()
    }
}
