//! From what was observed to outcomes and likely causes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use tempo_perf::checks::{
    Check, Measure, Observations, Outcome, Pushed, ReadBackFound, RunObserved, TempoCounted,
    ThresholdMeasure, judge, k6_values,
};
use tempo_perf::k6;
use tempo_perf::k6::summary::{Counter, Gauge, Rate, Summary, Threshold, Trend};
use tempo_perf::plan::{Plan, plan};
use tempo_perf::profile::{self, Profile, Slo};
use tempo_perf::settings::{Settings, Target};

const SPANS: f64 = 1000.0;
const BYTES: f64 = 500_000.0;
const SECONDS: f64 = 10.0;
const SAMPLES: u64 = 100;

/// A run of 1x-demo for 10 s in which everything went as planned, until a test
/// changes something.
struct Run {
    plan: Plan,
    observed: Observations,
}

fn run() -> Run {
    run_of(|_| {})
}

fn run_of(change: impl FnOnce(&mut Profile)) -> Run {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/1x-demo.yaml");
    let mut profile = profile::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
    change(&mut profile);
    let settings = Settings {
        duration: Some(Duration::from_secs_f64(SECONDS)),
        ..Settings::default()
    };
    let plan = plan(&profile, &settings, Target::Local, 2, &[], 7).expect("a plan");
    let runs = [k6::Run::Ingestion, k6::Run::Query].map(|run| {
        let observed = RunObserved {
            summary: Ok(summary(&plan, run)),
            interrupted_iterations: Ok(0),
            cores: Ok(0.1),
        };
        (run, observed)
    });
    let observed = Observations {
        runs: runs.into(),
        tempo: Ok(TempoCounted {
            spans_received: SPANS,
            bytes_received: BYTES,
            spans_rate_limited: 0.0,
            spans_discarded_otherwise: 0.0,
        }),
        promql: plan
            .checks
            .iter()
            .filter(|check| matches!(check.measure, Measure::PromQl(_)))
            .map(|check| (check.name.clone(), ("sent".to_string(), Ok(0.0))))
            .collect(),
        tempo_restarted: None,
        machine_cores: Ok(0.5),
        read_back: Ok(ReadBackFound {
            sampled: 459,
            missing: 0,
            partial: 0,
            altered: 0,
        }),
        collector_cores: Ok(0.1),
        pushed: Ok(Pushed {
            spans_acknowledged: SPANS,
            spans_rate_limited: 0.0,
            spans_uncertain: 0.0,
            bytes_acknowledged: BYTES,
            bytes_uncertain: 0.0,
        }),
        dead_components: Vec::new(),
    };
    Run { plan, observed }
}

fn trend(count: u64, value: f64) -> Trend {
    Trend {
        count,
        is_time: true,
        min: value,
        avg: value,
        max: value,
        p50: value,
        p90: value,
        p95: value,
        p99: value,
        further: BTreeMap::new(),
    }
}

/// What k6 would say of a run that held its load and every threshold.
fn summary(plan: &Plan, run: k6::Run) -> Summary {
    let counter = |count: f64| Counter {
        count,
        per_second: count / SECONDS,
    };
    let mut summary = Summary {
        duration: Duration::from_secs_f64(SECONDS),
        trends: BTreeMap::from([
            ("schedule_lag{op:push}".into(), trend(SAMPLES, 1.0)),
            ("iteration_duration".into(), trend(SAMPLES, 5.0)),
            ("http_req_duration".into(), trend(SAMPLES, 4.9)),
        ]),
        counters: ["dropped_iterations", "iteration_exceptions"]
            .map(|name| (name.to_string(), counter(0.0)))
            .into(),
        rates: BTreeMap::new(),
        gauges: BTreeMap::from([(
            "start_late".into(),
            Gauge {
                is_time: true,
                value: 0.0,
                min: 0.0,
                max: 0.0,
            },
        )]),
        thresholds: Vec::new(),
    };
    let target = plan.ingestion.target_bytes_per_second.bytes_per_second();
    summary.counters.insert(
        "acknowledged_bytes{op:push}".into(),
        counter(target * SECONDS),
    );
    summary.counters.insert("search_hits".into(), counter(3.0));
    for check in &plan.checks {
        let Measure::Threshold(ThresholdMeasure {
            run: of,
            metric,
            expression,
        }) = &check.measure
        else {
            continue;
        };
        if *of != run {
            continue;
        }
        if metric.starts_with("http_req_duration") {
            summary.trends.insert(metric.clone(), trend(SAMPLES, 5.0));
        } else if metric.starts_with("operation_failed") {
            let rate = Rate {
                hits: 0,
                misses: SAMPLES,
            };
            summary.rates.insert(metric.clone(), rate);
        }
        summary.thresholds.push(Threshold {
            metric: metric.clone(),
            expression: expression.clone(),
            ok: true,
        });
    }
    // 20 queries in all.
    for operation in ["search", "trace_by_id", "tags", "tag_values"] {
        let name = format!("operation_failed{{op:{operation}}}");
        if let Some(rate) = summary.rates.get_mut(&name) {
            rate.misses = 5;
        }
    }
    summary
}

impl Run {
    fn with(mut self, change: impl FnOnce(&mut Observations)) -> Self {
        change(&mut self.observed);
        self
    }

    fn judged(&self) -> Vec<Check> {
        judge(&self.plan.checks, self.plan.load(), &self.observed)
    }

    #[track_caller]
    fn check(&self, name: &str) -> Check {
        self.judged()
            .into_iter()
            .find(|check| check.name == name)
            .unwrap_or_else(|| panic!("no check {name}"))
    }
}

fn of(observed: &mut Observations, run: k6::Run) -> &mut Summary {
    let run = observed.runs.get_mut(&run).expect("both ran");
    run.summary.as_mut().expect("k6 ended well")
}

fn count(summary: &mut Summary, name: &str, count: f64) {
    let per_second = count / SECONDS;
    let counter = Counter { count, per_second };
    summary.counters.insert(name.into(), counter);
}

fn cross(summary: &mut Summary, metric: &str) {
    let threshold = summary.thresholds.iter_mut().find(|it| it.metric == metric);
    threshold.expect("planned").ok = false;
}

fn tempo(observed: &mut Observations) -> &mut TempoCounted {
    observed.tempo.as_mut().expect("counted")
}

fn pushed(observed: &mut Observations) -> &mut Pushed {
    observed.pushed.as_mut().expect("counted")
}

#[test]
fn a_run_as_planned_passes_every_check() {
    for check in run().judged() {
        assert_eq!(check.outcome, Outcome::Passed, "{check:?}");
    }
}

/// A closure among the cases must say what it takes.
type Seen = Observations;

const SPANS_LOST: &str = "spans lost before Tempo";
const PUSH_P99: &str = "push latency p99";

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
    let run = run().with(|it| it.dead_components = vec!["Prometheus ended".into()]);
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

/// What a reader is told, for every kind of failure.
#[test]
fn every_failure_tells_its_likely_cause() {
    type Story = (&'static str, &'static str, fn(&mut Seen));
    let stories: Vec<Story> = vec![
        ("Tempo's rate limit", "bytes acknowledged", |it| {
            let summary = of(it, k6::Run::Ingestion);
            count(summary, "acknowledged_bytes{op:push}", 1.0);
            count(summary, "refused_requests{reason:429}", 30.0);
            count(summary, "refused_requests{reason:503}", 3.0);
        }),
        ("503", "operation_failed{op:push}: rate<0.01", |it| {
            cross(of(it, k6::Run::Ingestion), "operation_failed{op:push}");
            count(
                of(it, k6::Run::Ingestion),
                "refused_requests{reason:503}",
                3.0,
            );
        }),
        ("no answers", "operation_failed{op:push}: rate<0.01", |it| {
            cross(of(it, k6::Run::Ingestion), "operation_failed{op:push}");
            count(
                of(it, k6::Run::Ingestion),
                "refused_requests{reason:network}",
                3.0,
            );
        }),
        ("partial", "operation_failed{op:push}: rate<0.01", |it| {
            cross(of(it, k6::Run::Ingestion), "operation_failed{op:push}");
            count(
                of(it, k6::Run::Ingestion),
                "refused_requests{reason:partial}",
                3.0,
            );
        }),
        ("all users wait", "dropped iterations, query", |it| {
            count(of(it, k6::Run::Query), "dropped_iterations", 9.0);
            let slow = trend(SAMPLES, 4000.0);
            of(it, k6::Run::Query)
                .trends
                .insert("http_req_duration".into(), slow);
        }),
        ("a burst", "dropped iterations, query", |it| {
            count(of(it, k6::Run::Query), "dropped_iterations", 9.0);
        }),
        (
            "slow answers",
            "http_req_duration{op:push}: p(99)<1000",
            |it| {
                cross(of(it, k6::Run::Ingestion), "http_req_duration{op:push}");
            },
        ),
        ("lost", SPANS_LOST, |it| tempo(it).spans_received -= 1.0),
        ("gained", SPANS_LOST, |it| tempo(it).spans_received += 1.0),
        ("changed", "bytes lost before Tempo", |it| {
            tempo(it).bytes_received -= 1.0
        }),
        ("discarded", "spans discarded in Tempo", |it| {
            tempo(it).spans_discarded_otherwise = 1.0;
        }),
        ("restart", SPANS_LOST, |it| {
            it.tempo = Err("a counter went backwards".into())
        }),
        ("nothing found", "searches that found traces", |it| {
            count(of(it, k6::Run::Query), "search_hits", 0.0);
        }),
        ("missing", "traces missing", |it| {
            it.read_back.as_mut().unwrap().missing = 1
        }),
        ("exception", "script exceptions, query", |it| {
            count(of(it, k6::Run::Query), "iteration_exceptions", 1.0);
        }),
        ("hanging", "interrupted iterations, query", |it| {
            it.runs
                .get_mut(&k6::Run::Query)
                .unwrap()
                .interrupted_iterations = Ok(1);
        }),
        ("busy k6", "k6 CPU, query", |it| {
            it.runs.get_mut(&k6::Run::Query).unwrap().cores = Ok(1e9);
        }),
        ("busy collector", "collector CPU", |it| {
            it.collector_cores = Ok(1e9)
        }),
        ("no number", PUSH_P99, |it| {
            it.promql.get_mut(PUSH_P99).unwrap().1 = Err("no series".into());
        }),
        ("dead", "traces missing", |it| {
            it.read_back = Err("no answer".into());
            it.dead_components = vec!["Tempo ended during the run\nexit code 1".into()];
        }),
    ];
    let told: Vec<String> = stories
        .into_iter()
        .map(|(story, name, change)| {
            let check = run().with(change).check(name);
            assert!(check.failed(), "{story}: {check:?}");
            format!("{story}: {}", check.likely_cause.unwrap_or_default())
        })
        .collect();
    insta::assert_snapshot!(told.join("\n"));
}

fn recorded(name: &str) -> Summary {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/k6-summary");
    Summary::read(&dir.join(name)).unwrap_or_else(|err| panic!("{err}"))
}

#[rstest]
fn the_numbers_of_a_recorded_ingestion_are_found(
    #[values(("1.8.1", 250), ("2.2.0", 131))] (version, requests): (&str, u64),
) {
    let summary = recorded(&format!("{version}-ingestion.json"));
    let bytes = k6_values::acknowledged_bytes(&summary).expect("listed");
    assert!(bytes > 0.0);
    // It had no warm-up.
    assert_eq!(k6_values::all_acknowledged_bytes(&summary), Ok(bytes));
    assert!(k6_values::all_acknowledged_spans(&summary).expect("listed") > 0.0);
    assert_eq!(k6_values::sent_requests(&summary), Ok(requests));
    assert_eq!(k6_values::refusals_not_logged(&summary), Ok(0));
    assert!(k6_values::refused_requests(&summary).is_empty());
    assert_eq!(k6_values::dropped_iterations(&summary), Ok(0.0));
    assert_eq!(k6_values::script_exceptions(&summary), Ok(0.0));
    assert_eq!(k6_values::start_lag_ms(&summary), Ok(0.0));
    let lag = k6_values::schedule_lag_p95_ms(&summary).expect("listed");
    assert!(lag < 100.0, "{lag} ms");
    let seconds = k6_values::mean_answer_seconds(&summary).expect("listed");
    assert!(
        (0.001..1.0).contains(&seconds),
        "{seconds} s, not milliseconds"
    );
    let absent = k6_values::searches_with_traces(&summary).expect_err("never a zero");
    assert_eq!(&*absent, "k6's summary has no counter search_hits");
}

#[rstest]
fn the_queries_of_a_recorded_run_are_counted(
    #[values(("1.8.1", 240.0), ("2.2.0", 200.0))] (version, queries): (&str, f64),
) {
    let summary = recorded(&format!("{version}-query.json"));
    let operations = ["search", "trace_by_id", "tags", "tag_values"];
    assert_eq!(k6_values::queries_done(&summary, &operations), Ok(queries));
    assert!(k6_values::searches_with_traces(&summary).expect("listed") > 0.0);
    k6_values::queries_done(&summary, &["push"]).expect_err("this run pushed nothing");
    k6_values::read_back(&summary).expect_err("this run read nothing back");
}
