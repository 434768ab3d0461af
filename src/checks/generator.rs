//! Whether k6, the collector and this machine kept up. Where they did not, the
//! load was theirs to fail, and no number of Tempo's speed means anything.

use std::time::Duration;

use serde::Serialize;

use super::check::{Bound, Check, Outcome, Reason, Source};
use super::{
    Capabilities, Facts, Family, Finding, Measure, Notation, Observations, PlannedCheck, k6_values,
    loads,
};
use crate::k6::Run;
use crate::settings::{Target, TestType};
use crate::units::Significant;

/// Share of its cores from which a generator or collector counts as busy.
const BUSY_CORES: f64 = 0.9;

/// Share of a machine's cores from which nobody on it can be called slow.
const BUSY_MACHINE: f64 = 0.95;

/// 95th percentile of the lag behind the schedule that a healthy generator keeps.
const MAX_SCHEDULE_LAG_MS: f64 = 100.0;

/// How late both k6 runs may start after the common start.
const MAX_START_LAG_MS: f64 = 500.0;

/// Share of an iteration spent waiting for the answer from which the answers,
/// and not the script, keep the virtual users busy.
const MOSTLY_WAITING: f64 = 0.8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GeneratorMeasure {
    ScheduleLag(Run),
    StartLag(Run),
    K6Cores(Run),
    MachineCores,
    CollectorCores,
}
use GeneratorMeasure::*;

pub(super) fn planned(test_type: TestType, target: Target, cores: usize) -> Vec<PlannedCheck> {
    let of_a_run = |run: &Run| [ScheduleLag, StartLag, K6Cores].map(|it| it(*run));
    let collects = (test_type != TestType::Query).then_some(CollectorCores);
    loads(test_type)
        .iter()
        .flat_map(of_a_run)
        .chain([MachineCores])
        .chain(collects)
        .map(|measure| measure.planned(target, cores as f64))
        .collect()
}

impl GeneratorMeasure {
    fn planned(self, target: Target, cores: f64) -> PlannedCheck {
        let (name, most, unit) = match self {
            ScheduleLag(run) => (
                format!("schedule lag p95, {run}"),
                MAX_SCHEDULE_LAG_MS,
                "ms",
            ),
            StartLag(run) => (format!("late start, {run}"), MAX_START_LAG_MS, "ms"),
            K6Cores(run) => (format!("k6 CPU, {run}"), BUSY_CORES * cores, "cores"),
            MachineCores => ("machine CPU".into(), BUSY_MACHINE * cores, "cores"),
            CollectorCores => ("collector CPU".into(), BUSY_CORES * cores, "cores"),
        };
        let elsewhere = self == MachineCores && target == Target::Kubernetes;
        let measure = Measure::Generator(self);
        PlannedCheck {
            not_applicable: elsewhere.then(|| "the load does not run on this machine".into()),
            ..PlannedCheck::new(name, Source::Generator, measure, Bound::at_most(most), unit)
        }
    }

    /// Who was too slow where this is violated.
    fn who(self) -> &'static str {
        match self {
            ScheduleLag(_) | StartLag(_) | K6Cores(_) => "k6",
            MachineCores => "this machine",
            CollectorCores => "the collector",
        }
    }
}

impl Family for GeneratorMeasure {
    fn expression(&self, _: &str, _: &Observations) -> String {
        match self {
            ScheduleLag(_) => {
                "actual minus planned start of iterations, p95, less a period for each drop"
            }
            StartLag(_) => "start of the load after the planned time",
            MachineCores => "busy CPU seconds of this machine per second",
            K6Cores(_) | CollectorCores => "CPU seconds per second",
        }
        .into()
    }

    fn finding(&self, _: &str, facts: Facts<'_>) -> Result<Finding, Reason> {
        let seen = facts.seen;
        let value = match self {
            ScheduleLag(run) => schedule_lag_ms(*run, facts)?,
            StartLag(run) => k6_values::start_lag_ms(seen.summary(*run)?)?,
            K6Cores(run) => seen.run(*run)?.cores.clone()?,
            MachineCores => seen.machine_cores.clone()?,
            CollectorCores => seen.collector_cores.clone()?,
        };
        Ok(Finding::Value(value))
    }

    fn cause(&self, _: &Check, _: Facts<'_>) -> Option<String> {
        let cause = match self {
            ScheduleLag(_) | StartLag(_) | K6Cores(_) => {
                "the load generator got too little CPU: run a smaller load, batch more with \
                 k6.ingestion.tracesPerRequest, or use a larger machine"
            }
            MachineCores => {
                "everything here shares one machine, and it was busy: run a smaller load, or a \
                 Tempo elsewhere with TEMPO_ENDPOINT and TEMPO_QUERY_ENDPOINT"
            }
            CollectorCores => "the collector used all the CPU it has: use a larger machine",
        };
        Some(cause.into())
    }

    fn bound_in(&self, planned: Bound, place: &Capabilities) -> Result<Bound, Reason> {
        let own = match self {
            K6Cores(_) => place.k6_cores.clone()?,
            CollectorCores => {
                place.collector_cpu.clone()?;
                place.collector_cores.clone()?
            }
            ScheduleLag(_) | StartLag(_) | MachineCores => None,
        };
        Ok(own.map_or(planned, |cores| Bound::at_most(BUSY_CORES * cores)))
    }

    fn planned_text(&self, check: &PlannedCheck, target: Target) -> String {
        match self {
            // The limit of a pod is known once there is one.
            K6Cores(_) | CollectorCores if target == Target::Kubernetes => {
                format!(" <= {} % of its limit", BUSY_CORES * 100.0)
            }
            ScheduleLag(_) | StartLag(_) | K6Cores(_) | MachineCores | CollectorCores => {
                check.bound_text()
            }
        }
    }
}

fn schedule_lag_ms(run: Run, Facts { load, seen }: Facts<'_>) -> Result<f64, Reason> {
    let summary = seen.summary(run)?;
    let lag_ms = k6_values::schedule_lag_p95_ms(summary)?;
    // A dropped iteration takes no number, so each one makes all later ones look
    // late by a period. That is not k6's lag where its users were waiting for
    // answers; it is where they were busy themselves.
    let waiting = k6_values::share_of_waiting(summary);
    if waiting.is_none_or(|share| share < MOSTLY_WAITING) {
        return Ok(lag_ms);
    }
    let schedule = load.schedule(run).ok_or("it has no schedule")?;
    let period_ms = 1000.0 / schedule.rate.as_per_second();
    let by_drops = k6_values::dropped_iterations(summary)? * period_ms;
    Ok((lag_ms - by_drops).max(0.0))
}

/// Who on the load's side was too slow for the load to count, if anyone.
pub(super) fn bottleneck(planned: &[PlannedCheck], checks: &[Check]) -> Option<String> {
    let slow: Vec<String> = planned
        .iter()
        .zip(checks)
        .filter(|(_, check)| check.outcome == Outcome::Violated)
        .filter_map(|(planned, check)| {
            let Measure::Generator(measure) = planned.measure else {
                return None;
            };
            Some(format!(
                "{} ({} {}, bound {})",
                measure.who(),
                check.name,
                check.unit.after(Significant(check.observed?)),
                check.bound.text(&check.unit, Notation::Sentence),
            ))
        })
        .collect();
    (!slow.is_empty()).then(|| slow.join(" and "))
}

/// Average cores that `cpu` seconds in `wall` time make.
pub fn cores(cpu: Duration, wall: Duration) -> Result<f64, Reason> {
    if wall.is_zero() {
        return Err("it ran for no time".into());
    }
    Ok(cpu.as_secs_f64() / wall.as_secs_f64())
}
