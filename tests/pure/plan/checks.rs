//! The checks that a plan has, and which of them apply.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;
use tempo_perf::checks::{Capabilities, Measure, PlannedCheck, variable_values};
use tempo_perf::k6::Run;
use tempo_perf::profile::{self, CollectorMode, Profile, Slo};
use tempo_perf::settings::{Settings, Target, TestType};

use super::{built_in, changed, of_type, planned};

/// The checks of `1x-demo` after a change of it.
fn checks_of(test_type: TestType, change: impl FnOnce(&mut Profile)) -> Vec<PlannedCheck> {
    let profile = changed("1x-demo", change);
    let plan = planned(&profile, &of_type(test_type)).expect("a plan");
    plan.checks
}

fn thresholds(checks: &[PlannedCheck]) -> Vec<&str> {
    let of_k6 = |check: &&PlannedCheck| matches!(check.measure, Measure::Threshold(_));
    checks
        .iter()
        .filter(of_k6)
        .map(|check| check.name.as_str())
        .collect()
}

fn slos(checks: &[PlannedCheck]) -> Vec<(&str, Option<f64>)> {
    let of_prometheus = |check: &&PlannedCheck| matches!(check.measure, Measure::PromQl(_));
    checks
        .iter()
        .filter(of_prometheus)
        .map(|check| (check.name.as_str(), check.bound.max))
        .collect()
}

fn slo(name: &str, max: f64) -> Slo {
    Slo {
        name: name.into(),
        expr: "up".into(),
        min: None,
        max: Some(max),
        of: None,
        unit: "s".into(),
    }
}

#[test]
fn without_thresholds_and_slos_the_load_and_its_generator_are_still_checked() {
    let bare = changed("1x-demo", |profile| {
        profile.thresholds = Some(BTreeMap::new());
        profile.slos = Some(Vec::new());
    });
    let plan = planned(&bare, &of_type(TestType::Query)).expect("a plan");
    assert!(
        plan.checks
            .iter()
            .all(|check| check.not_applicable.is_none())
    );
}

#[test]
fn a_threshold_replaces_the_default_of_its_metric_alone() {
    let checks = checks_of(TestType::Ingestion, |profile| {
        profile.thresholds = Some(BTreeMap::from([
            (
                "http_req_duration{op:push}".into(),
                vec!["p(99.9)<70".into(), "avg<9".into()],
            ),
            ("iterations".into(), vec!["count>1".into()]),
        ]));
    });
    assert_eq!(
        thresholds(&checks),
        [
            "operation_failed{op:push}: rate<0.01",
            "http_req_duration{op:push}: p(99.9)<70",
            "http_req_duration{op:push}: avg<9",
            "iterations: count>1",
        ]
    );
}

#[test]
fn an_slo_replaces_the_default_of_its_name_alone() {
    let checks = checks_of(TestType::Combined, |profile| {
        profile.slos = Some(vec![slo("push latency p99", 0.2), slo("mine", 3.0)]);
    });
    assert_eq!(
        slos(&checks),
        [
            ("push latency p99", Some(0.2)),
            ("discarded spans", Some(0.0)),
            ("Tempo restarts", Some(0.0)),
            ("mine", Some(3.0)),
        ]
    );
}

/// What the plan says of a check, and the bound that it will be held against.
#[rstest]
#[case::bytes("bytes acknowledged", "within 2 % of the target", 52_428.8, 0.02 * 52_428.8)]
#[case::queries("queries done", "within 2 % of the target", 2.0, 0.04)]
#[case::slo(
    "mine",
    "0.9 to 1.1 queries/s of ${target_queries_per_second}   [up]",
    2.0,
    0.2
)]
fn a_bound_is_planned_in_the_unit_of_its_check(
    #[case] name: &str,
    #[case] text: &str,
    #[case] target: f64,
    #[case] miss: f64,
) {
    let checks = checks_of(TestType::Combined, |profile| {
        profile.slos = Some(vec![Slo {
            min: Some(0.9),
            of: Some("${target_queries_per_second}".into()),
            unit: "queries/s".into(),
            ..slo("mine", 1.1)
        }]);
    });
    let check = checks.iter().find(|check| check.name == name);
    let check = check.expect("planned");
    assert_eq!(check.text(Target::Local), format!("{name} {text}"));
    let bound = (check.bound.min, check.bound.max);
    assert_eq!(bound, (Some(target - miss), Some(target + miss)));
}

#[rstest]
#[case::default("push latency p99", |_: &mut Profile| {}, TestType::Query)]
#[case::replaced("push latency p99", |it: &mut Profile| it.slos = Some(vec![slo("push latency p99", 0.2)]), TestType::Query)]
#[case::of_pushes("mine", |it: &mut Profile| it.slos = Some(vec![of("${target_spans_per_second}")]), TestType::Query)]
#[case::of_queries("mine", |it: &mut Profile| it.slos = Some(vec![of("${target_queries_per_second}")]), TestType::Ingestion)]
fn an_slo_on_one_side_does_not_apply_to_the_other(
    #[case] name: &str,
    #[case] change: fn(&mut Profile),
    #[case] idle_in: TestType,
) {
    for test_type in [TestType::Ingestion, TestType::Query, TestType::Combined] {
        let checks = checks_of(test_type, change);
        let check = checks.iter().find(|check| check.name == name);
        assert_eq!(
            check.expect("planned").applies(),
            test_type != idle_in,
            "{test_type}"
        );
    }
}

fn of(variable: &str) -> Slo {
    Slo {
        of: Some(variable.into()),
        ..slo("mine", 1.0)
    }
}

#[test]
fn every_variable_that_a_profile_may_use_has_a_value_of_its_kind() {
    let plan = planned(&built_in("1x-demo"), &Settings::default()).expect("a plan");
    let values = variable_values(plan.load(), "job=\"tempo\"");
    for variable in profile::variables::KNOWN {
        let number = values[variable.name].parse::<f64>();
        assert_eq!(number.is_ok(), variable.numeric, "{}", variable.name);
    }
}

#[test]
fn empty_thresholds_and_slos_remove_the_defaults() {
    let checks = checks_of(TestType::Combined, |profile| {
        profile.thresholds = Some(BTreeMap::new());
        profile.slos = Some(Vec::new());
    });
    assert!(thresholds(&checks).is_empty() && slos(&checks).is_empty());
    let checks = checks_of(TestType::Combined, |_| {});
    assert_eq!((thresholds(&checks).len(), slos(&checks).len()), (10, 3));
}

#[test]
fn a_threshold_without_an_operation_holds_for_each_run() {
    let given = |profile: &mut Profile| {
        profile.thresholds = Some(BTreeMap::from([(
            "http_reqs".into(),
            vec!["count>1".into()],
        )]));
    };
    let roles = |checks: &[PlannedCheck]| -> Vec<Run> {
        checks
            .iter()
            .filter_map(|check| match &check.measure {
                Measure::Threshold(it) if it.metric == "http_reqs" => Some(it.run),
                _ => None,
            })
            .collect()
    };
    let both = checks_of(TestType::Combined, given);
    assert_eq!(roles(&both), [Run::Ingestion, Run::Query]);
    let one = checks_of(TestType::Query, given);
    assert_eq!(roles(&one), [Run::Query]);
}

#[test]
fn a_threshold_on_an_operation_of_an_idle_run_does_not_apply() {
    let checks = checks_of(TestType::Ingestion, |profile| {
        profile.thresholds = Some(BTreeMap::from([(
            "http_req_duration{op:search}".into(),
            vec!["p(95)<1".into()],
        )]));
    });
    let search = checks
        .iter()
        .find(|check| check.name.contains("op:search"))
        .expect("planned");
    assert_eq!(
        search.not_applicable.as_deref(),
        Some("a test of type ingestion has no search requests")
    );
}

#[test]
fn a_queued_collector_may_send_twice_so_bytes_are_not_compared() {
    let checks = checks_of(TestType::Ingestion, |profile| {
        profile.k6.ingestion.collector = CollectorMode::Queued;
    });
    let not: Vec<&str> = checks
        .iter()
        .filter(|check| check.not_applicable.is_some())
        .map(|check| check.name.as_str())
        .collect();
    assert_eq!(not, ["bytes lost before Tempo"]);
}

#[test]
fn what_the_environment_lacks_is_settled_with_its_reason_and_nothing_else() {
    let mut plan = planned(&built_in("1x-demo"), &Settings::default()).expect("a plan");
    let lacking = Capabilities {
        collector_metrics: String::new(),
        container_metrics: Ok(String::new()),
        tempo_metrics: Err("no metrics".into()),
        collector_cpu: Err("no collector".into()),
        k6_cores: Ok(None),
        collector_cores: Ok(None),
        visibility_delay: Duration::ZERO,
        readable_bytes: None,
        read_back: Err("no address".into()),
        stand_in: None,
    };
    plan.settle(&lacking);
    let settled: BTreeMap<&str, Vec<&str>> = plan
        .checks
        .iter()
        .filter_map(|check| Some((check.not_applicable.as_deref()?, check.name.as_str())))
        .fold(BTreeMap::new(), |mut all, (why, name)| {
            all.entry(why).or_default().push(name);
            all
        });
    insta::assert_yaml_snapshot!(settled, @r"
    no address:
      - traces missing
      - traces partial
      - traces altered
    no collector:
      - collector CPU
    no metrics:
      - spans lost before Tempo
      - bytes lost before Tempo
      - spans discarded in Tempo
      - push latency p99
      - discarded spans
      - Tempo restarts
    ");
}
