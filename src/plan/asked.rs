//! Which operations the planned queries ask for. In a short load not every kind
//! comes up; what is known not to come cannot be judged, and is left out before
//! the load.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Plan;
use crate::checks::{LoadMeasure, Measure, Reason, operation_of};
use crate::k6::Run;
use crate::k6::load::{operation_tag, planned_iterations};
use crate::k6::query_mix;
use crate::profile::Operation;
use crate::settings::TestType;
use crate::units::Pretty;

/// Beyond the visibility delay: searches end at a whole second, and the traces
/// that they find have a length.
const SEARCH_MARGIN: Duration = Duration::from_secs(2);

/// Marks the checks of operations that no planned query asks, given how old data
/// must be before it is asked for.
pub fn leave_out(plan: &mut Plan, visibility_delay: Duration) {
    if plan.test_type == TestType::Ingestion {
        return;
    }
    let asked = asked(plan, visibility_delay);
    let mut checks = std::mem::take(&mut plan.checks);
    for check in checks.iter_mut().filter(|check| check.applies()) {
        let why = match &check.measure {
            Measure::Threshold(threshold) if threshold.run == Run::Query => {
                operation_of(&threshold.metric)
                    .filter(|operation| !asked.operations.contains(operation))
                    .map(|operation| asked.why_not(operation, visibility_delay))
            }
            Measure::Load(LoadMeasure::SearchesWithTraces) if !asked.search_can_find => {
                Some(format!(
                    "the load ends before a search may look for its traces, which must be {} old",
                    Pretty(visibility_delay)
                ))
            }
            Measure::Threshold(_)
            | Measure::PromQl(_)
            | Measure::ReadBack(_)
            | Measure::Load(_)
            | Measure::Delivery(_)
            | Measure::Generator(_) => None,
        };
        check.not_applicable = why.map(Reason::from);
    }
    plan.checks = checks;
}

struct Asked {
    operations: BTreeSet<&'static str>,
    search_can_find: bool,
    /// In the window.
    queries: u64,
}

impl Asked {
    fn why_not(&self, operation: &str, delay: Duration) -> String {
        if operation == operation_tag(Operation::TraceById) && !delay.is_zero() {
            return format!(
                "the load ends before a trace may be asked for, which must be {} old",
                Pretty(delay)
            );
        }
        format!(
            "none of the {} planned queries is of this kind; a longer DURATION has some",
            self.queries
        )
    }
}

fn asked(plan: &Plan, visibility_delay: Duration) -> Asked {
    let rate = plan.query.queries_per_second.per_thousand_seconds();
    let count = |time: Duration| planned_iterations(rate, time.as_millis() as u64);
    let numbers = count(plan.warmup)..count(plan.warmup + plan.duration);
    let mix = query_mix::sequence(Some(&plan.query.queries), plan.seed);
    let head_start = plan
        .seeding
        .map_or(Duration::ZERO, |seeding| seeding.duration);
    // Data of others has been there long enough.
    let visible = |number: u64, age: Duration| {
        let at = Duration::from_millis(number.saturating_mul(1_000_000) / rate.max(1));
        !plan.ingests() || at + head_start >= age
    };
    let mut asked = Asked {
        operations: BTreeSet::new(),
        search_can_find: false,
        queries: numbers.end.saturating_sub(numbers.start),
    };
    if mix.order.is_empty() {
        return asked;
    }
    let hidden = count(visibility_delay + SEARCH_MARGIN);
    let one_round_of_all = hidden + mix.order.len() as u64;
    for number in numbers.take(one_round_of_all as usize) {
        let index = mix.order[(number % mix.order.len() as u64) as usize];
        let operation = mix.queries[index as usize].operation;
        if operation == Operation::Search && visible(number, visibility_delay + SEARCH_MARGIN) {
            asked.search_can_find = true;
        }
        if operation != Operation::TraceById || visible(number, visibility_delay) {
            asked.operations.insert(operation_tag(operation));
        }
    }
    asked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Settings, Target};

    const DEMO: &str = "name: demo\ndescription: test\ntempo: {variant: monolithic}\nk6:\n  \
        vus: {min: 1, max: 2}\n  ingestion: {mbPerSecond: 0.05, traceProfile: small}\n  \
        query: {queriesPerSecond: 2}\n";

    fn plan_of(seconds: u64, delay_seconds: u64) -> Plan {
        let profile = crate::profile::parse(std::path::Path::new("demo.yaml"), DEMO)
            .expect("the profile is valid");
        let settings = Settings {
            duration: Some(Duration::from_secs(seconds)),
            ..Settings::default()
        };
        let mut plan = super::super::plan(&profile, &settings, Target::Local, 2, &[], 1)
            .expect("there is a plan");
        leave_out(&mut plan, Duration::from_secs(delay_seconds));
        plan
    }

    fn left_out(plan: &Plan) -> Vec<&str> {
        plan.checks
            .iter()
            .filter(|check| check.not_applicable.is_some())
            .map(|check| check.name.as_str())
            .collect()
    }

    #[test]
    fn a_whole_round_of_the_mix_asks_for_everything() {
        assert_eq!(left_out(&plan_of(15, 1)), [""; 0]);
    }

    #[test]
    fn a_kind_that_does_not_come_up_is_left_out() {
        let plan = plan_of(6, 1);
        let reason = "none of the 12 planned queries is of this kind; a longer DURATION has some";
        assert_eq!(
            left_out(&plan),
            [
                "operation_failed{op:tags}: rate<0.01",
                "http_req_duration{op:tags}: p(95)<2000"
            ]
        );
        let reasons = plan
            .checks
            .iter()
            .filter_map(|it| it.not_applicable.as_deref());
        assert!(reasons.into_iter().all(|it| it == reason));
    }

    #[test]
    fn what_becomes_visible_after_the_load_is_left_out() {
        assert_eq!(
            left_out(&plan_of(15, 45)),
            [
                "searches that found traces",
                "operation_failed{op:trace_by_id}: rate<0.01",
                "http_req_duration{op:trace_by_id}: p(95)<1000"
            ]
        );
    }
}
