//! Each observation has its outcome.

use std::collections::BTreeMap;

use rstest::rstest;
use tempo_perf::checks::{Observations, Outcome, Pushed};
use tempo_perf::k6;
use tempo_perf::profile::Slo;

use super::{PUSH_P99, SPANS_LOST, Seen, count, cross, of, run, run_of, tempo};

fn pushed(observed: &mut Observations) -> &mut Pushed {
    observed.pushed.as_mut().expect("counted")
}

#[test]
fn a_run_as_planned_passes_every_check() {
    for check in run().judged() {
        assert_eq!(check.outcome, Outcome::Passed, "{check:?}");
    }
}

#[rstest]
#[case::k6_crossed("http_req_duration{op:push}: p(99)<1000", |it: &mut Seen| cross(of(it, k6::Run::Ingestion), "http_req_duration{op:push}"), Outcome::Violated)]
#[case::k6_ended_badly("http_req_duration{op:push}: p(99)<1000", |it: &mut Seen| it.runs.get_mut(&k6::Run::Ingestion).unwrap().summary = Err("exit code 107".into()), Outcome::Unmeasured)]
#[case::no_sample("http_req_duration{op:push}: p(99)<1000", |it: &mut Seen| of(it, k6::Run::Ingestion).trends.get_mut("http_req_duration{op:push}").unwrap().count = 0, Outcome::Unmeasured)]
#[case::no_sample_of_a_rate("operation_failed{op:push}: rate<0.01", |it: &mut Seen| of(it, k6::Run::Ingestion).rates.get_mut("operation_failed{op:push}").unwrap().misses = 0, Outcome::Unmeasured)]
#[case::not_judged_by_k6("operation_failed{op:push}: rate<0.01", |it: &mut Seen| of(it, k6::Run::Ingestion).thresholds.clear(), Outcome::Unmeasured)]
#[case::slo_over(PUSH_P99, |it: &mut Seen| it.promql.get_mut(PUSH_P99).unwrap().1 = Ok(1.01), Outcome::Violated)]
#[case::slo_at_its_bound(PUSH_P99, |it: &mut Seen| it.promql.get_mut(PUSH_P99).unwrap().1 = Ok(1.0), Outcome::Passed)]
#[case::slo_without_data(PUSH_P99, |it: &mut Seen| it.promql.get_mut(PUSH_P99).unwrap().1 = Err("no series".into()), Outcome::Unmeasured)]
#[case::slo_not_asked(PUSH_P99, |it: &mut Seen| it.promql.clear(), Outcome::Unmeasured)]
#[case::nan_is_no_measurement(PUSH_P99, |it: &mut Seen| it.promql.get_mut(PUSH_P99).unwrap().1 = Ok(f64::NAN), Outcome::Unmeasured)]
#[case::dropped("dropped iterations, query", |it: &mut Seen| count(of(it, k6::Run::Query), "dropped_iterations", 1.0), Outcome::Violated)]
#[case::counter_absent("dropped iterations, query", |it: &mut Seen| { of(it, k6::Run::Query).counters.remove("dropped_iterations"); }, Outcome::Unmeasured)]
#[case::interrupted("interrupted iterations, query", |it: &mut Seen| it.runs.get_mut(&k6::Run::Query).unwrap().interrupted_iterations = Ok(1), Outcome::Violated)]
#[case::exception("script exceptions, ingestion", |it: &mut Seen| count(of(it, k6::Run::Ingestion), "iteration_exceptions", 1.0), Outcome::Violated)]
#[case::empty_searches("searches that found traces", |it: &mut Seen| count(of(it, k6::Run::Query), "search_hits", 0.0), Outcome::Violated)]
#[case::lost(SPANS_LOST, |it: &mut Seen| tempo(it).spans_received -= 1.0, Outcome::Violated)]
#[case::gained(SPANS_LOST, |it: &mut Seen| tempo(it).spans_received += 1.0, Outcome::Violated)]
#[case::rate_limited_at_both_ends(SPANS_LOST, |it: &mut Seen| { pushed(it).spans_rate_limited = 40.0; tempo(it).spans_rate_limited = 40.0; }, Outcome::Passed)]
#[case::rate_limited_at_one_end(SPANS_LOST, |it: &mut Seen| tempo(it).spans_rate_limited = 40.0, Outcome::Violated)]
#[case::unanswered_and_received(SPANS_LOST, |it: &mut Seen| { pushed(it).spans_uncertain = 8.0; tempo(it).spans_received += 8.0; }, Outcome::Passed)]
#[case::unanswered_and_lost(SPANS_LOST, |it: &mut Seen| pushed(it).spans_uncertain = 8.0, Outcome::Passed)]
#[case::more_than_unanswered(SPANS_LOST, |it: &mut Seen| { pushed(it).spans_uncertain = 8.0; tempo(it).spans_received += 9.0; }, Outcome::Violated)]
#[case::restarted(SPANS_LOST, |it: &mut Seen| it.tempo = Err("a counter went backwards".into()), Outcome::Unmeasured)]
#[case::refusals_unlogged(SPANS_LOST, |it: &mut Seen| it.pushed = Err("3 refused requests are not in the log".into()), Outcome::Unmeasured)]
#[case::bytes_changed("bytes lost before Tempo", |it: &mut Seen| tempo(it).bytes_received -= 1.0, Outcome::Violated)]
#[case::bytes_gained("bytes lost before Tempo", |it: &mut Seen| tempo(it).bytes_received += 1.0, Outcome::Violated)]
#[case::bytes_uncertain("bytes lost before Tempo", |it: &mut Seen| { pushed(it).bytes_uncertain = 9.0; tempo(it).bytes_received += 9.0; }, Outcome::Passed)]
#[case::discarded("spans discarded in Tempo", |it: &mut Seen| tempo(it).spans_discarded_otherwise = 1.0, Outcome::Violated)]
#[case::missing("traces missing", |it: &mut Seen| it.read_back.as_mut().unwrap().missing = 1, Outcome::Violated)]
#[case::missing_is_not_altered("traces altered", |it: &mut Seen| it.read_back.as_mut().unwrap().missing = 1, Outcome::Passed)]
#[case::nothing_to_read_back("traces missing", |it: &mut Seen| it.read_back.as_mut().unwrap().sampled = 0, Outcome::Unmeasured)]
#[case::not_read_back("traces partial", |it: &mut Seen| it.read_back = Err("no answer".into()), Outcome::Unmeasured)]
fn an_observation_has_its_outcome(
    #[case] name: &str,
    #[case] change: fn(&mut Observations),
    #[case] expected: Outcome,
) {
    let check = run().with(change).check(name);
    assert_eq!(check.outcome, expected, "{check:?}");
    assert_eq!(check.reason.is_some(), expected == Outcome::Unmeasured);
    assert_eq!(check.observed.is_some(), expected != Outcome::Unmeasured);
}

/// Requests are 1 MB/s over 10 s here, so that 2 % is more than two of them;
/// queries are 20, so that two of them are more than 2 %.
#[rstest]
#[case::within("bytes acknowledged", 0.981, Outcome::Passed)]
#[case::too_little("bytes acknowledged", 0.979, Outcome::Violated)]
#[case::too_much("bytes acknowledged", 1.021, Outcome::Violated)]
#[case::two_queries_short("queries done", 0.9, Outcome::Passed)]
#[case::three_queries_short("queries done", 0.85, Outcome::Violated)]
fn the_load_is_held_within_two_percent_or_two_requests(
    #[case] name: &str,
    #[case] share: f64,
    #[case] expected: Outcome,
) {
    let run = run_of(|profile| {
        profile.k6.ingestion.mb_per_second = 5.0;
        profile.k6.vus.max = 50;
        profile.k6.ingestion.traces_per_request = Some(1);
    });
    let run = run.with(|it| {
        let bytes = "acknowledged_bytes{op:push}";
        let planned = of(it, k6::Run::Ingestion).counters[bytes].count;
        count(of(it, k6::Run::Ingestion), bytes, planned * share);
        let search = "operation_failed{op:search}";
        let searches = (share * 20.0 - 15.0).round().max(0.0) as u64;
        of(it, k6::Run::Query).rates.get_mut(search).unwrap().misses = searches;
    });
    let check = run.check(name);
    assert_eq!(check.outcome, expected, "{check:?}");
}

#[test]
fn a_check_that_does_not_apply_keeps_its_reason_and_has_no_value() {
    let mut run = run();
    run.plan.checks[0].not_applicable = Some("not on this target".into());
    let check = &run.judged()[0];
    assert_eq!(check.outcome, Outcome::NotApplicable);
    assert_eq!(check.reason.as_deref(), Some("not on this target"));
    assert!(check.observed.is_none() && !check.failed());
}

#[test]
fn a_bound_of_a_target_is_a_factor_of_it() {
    let run = run_of(|profile| {
        profile.slos = Some(vec![Slo {
            name: "bytes accepted".into(),
            expr: "up".into(),
            min: Some(0.97),
            max: None,
            of: Some("${target_bytes_per_second}".into()),
            unit: "B/s".into(),
        }]);
    });
    let check = run.check("bytes accepted");
    let target = 0.05 * 1_048_576.0;
    assert_eq!(check.bound.min, Some(0.97 * target));
    assert_eq!(check.outcome, Outcome::Violated, "it observed nothing");
}

#[test]
fn a_restarted_tempo_is_violated_and_not_just_unmeasured() {
    let run = run().with(|it| {
        it.tempo = Err("a counter went backwards".into());
        it.tempo_restarted = Some("a counter went backwards".into());
    });
    let check = run.check(SPANS_LOST);
    assert_eq!(check.outcome, Outcome::Violated, "{check:?}");
    assert_eq!(check.reason.as_deref(), Some("a counter went backwards"));
}

#[test]
fn drops_for_want_of_answers_are_not_taken_for_a_late_generator() {
    // Ten drops make every later iteration look ten periods late.
    let run = run().with(|it| {
        count(of(it, k6::Run::Ingestion), "dropped_iterations", 10.0);
        let lag = of(it, k6::Run::Ingestion)
            .trends
            .get_mut("schedule_lag{op:push}")
            .unwrap();
        lag.p95 = 1200.0;
    });
    let lag = run.check("schedule lag p95, ingestion");
    assert_eq!(lag.outcome, Outcome::Passed, "{lag:?}");
    let dropped = run.check("dropped iterations, ingestion");
    assert_eq!(dropped.outcome, Outcome::Violated, "{dropped:?}");
}

#[test]
fn drops_of_users_busy_in_the_script_are_the_generators() {
    let run = run().with(|it| {
        count(of(it, k6::Run::Ingestion), "dropped_iterations", 10.0);
        let ingestion = of(it, k6::Run::Ingestion);
        ingestion
            .trends
            .get_mut("schedule_lag{op:push}")
            .unwrap()
            .p95 = 1200.0;
        ingestion.trends.get_mut("http_req_duration").unwrap().avg = 1.0;
    });
    let check = run.check("bytes acknowledged");
    assert_eq!(check.outcome, Outcome::Unmeasured, "{check:?}");
}

#[test]
fn a_busy_machine_leaves_performance_unmeasured() {
    let run = run().with(|it| it.machine_cores = Ok(1e9));
    let check = run.check("bytes acknowledged");
    assert_eq!(check.outcome, Outcome::Unmeasured, "{check:?}");
    let reason = check.reason.expect("it says who was slow");
    assert!(reason.starts_with("this machine (machine CPU "), "{reason}");
}

#[test]
fn a_component_that_ended_fails_the_case() {
    let run = run().with(|it| it.ended_components = vec!["Prometheus ended".into()]);
    let check = run.check("components that ended");
    assert_eq!(check.outcome, Outcome::Violated, "{check:?}");
}

#[test]
fn a_busy_generator_leaves_performance_unmeasured_and_correctness_judged() {
    let run = run().with(|it| {
        it.runs.get_mut(&k6::Run::Query).unwrap().cores = Ok(1e9);
        it.promql.get_mut(PUSH_P99).unwrap().1 = Ok(9.0);
        tempo(it).spans_received -= 5.0;
    });
    let late = run.check(PUSH_P99);
    assert_eq!(late.outcome, Outcome::Unmeasured, "{late:?}");
    let reason = late.reason.expect("it says who was slow");
    assert!(
        reason.starts_with("k6 (k6 CPU, query 1000000000 cores, bound "),
        "{reason}"
    );
    assert!(
        reason.ends_with(
            "was the bottleneck; it reached 0.05 MB/s of 0.05 MB/s and 2 of 2 queries/s"
        ),
        "{reason}"
    );
    assert_eq!(run.check("bytes acknowledged").outcome, Outcome::Unmeasured);
    assert_eq!(run.check(SPANS_LOST).outcome, Outcome::Violated);
    assert_eq!(run.check("traces missing").outcome, Outcome::Passed);
    assert_eq!(run.check("k6 CPU, query").outcome, Outcome::Violated);
}

#[test]
fn a_counter_at_zero_is_a_measurement_for_its_threshold() {
    let metric = "dropped_iterations";
    let run = run_of(|profile| {
        let given = BTreeMap::from([(metric.to_string(), vec!["count==0".to_string()])]);
        profile.thresholds = Some(given);
    });
    let name = format!("{metric}: count==0, ingestion");
    let check = run.check(&name);
    assert_eq!(
        (check.outcome, check.observed),
        (Outcome::Passed, Some(0.0))
    );
    let unlisted = run.with(|it| {
        of(it, k6::Run::Ingestion).counters.remove(metric);
    });
    assert_eq!(unlisted.check(&name).outcome, Outcome::Unmeasured);
}

#[test]
fn a_threshold_on_any_percentile_shows_that_percentile() {
    let metric = "http_req_duration{op:push}";
    let run = run_of(|profile| {
        let given = BTreeMap::from([(metric.to_string(), vec!["p(99.90)<70".to_string()])]);
        profile.thresholds = Some(given);
    });
    let name = format!("{metric}: p(99.90)<70");
    assert_eq!(
        run.check(&name).outcome,
        Outcome::Unmeasured,
        "k6 did not say"
    );
    let run = run.with(|it| {
        let trend = of(it, k6::Run::Ingestion).trends.get_mut(metric).unwrap();
        trend.further.insert("p(99.9)".into(), 64.0);
    });
    let check = run.check(&name);
    assert_eq!(
        (check.outcome, check.observed),
        (Outcome::Passed, Some(64.0))
    );
}
