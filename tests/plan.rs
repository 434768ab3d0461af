//! Plans: every number resolved, every check known before the load.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use tempo_perf::environment::Capabilities;
use tempo_perf::plan::checks::{self, Measure, PlannedCheck, Role};
use tempo_perf::plan::load::LoadError;
use tempo_perf::plan::{Plan, PlanError, plan, render};
use tempo_perf::profile::{self, CollectorMode, Profile, Slo, TraceProfile};
use tempo_perf::settings::{Settings, Target, TestType};
use tempo_perf::units::{ByteRate, EventRate};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn built_in(name: &str) -> Profile {
    let path = Path::new(ROOT)
        .join("profiles")
        .join(format!("{name}.yaml"));
    profile::load(&path).unwrap_or_else(|errors| panic!("{errors}"))
}

fn changed(name: &str, change: impl FnOnce(&mut Profile)) -> Profile {
    let mut profile = built_in(name);
    change(&mut profile);
    profile
}

fn of_type(test_type: TestType) -> Settings {
    Settings {
        test_type,
        ..Settings::default()
    }
}

fn planned(profile: &Profile, settings: &Settings) -> Result<Plan, PlanError> {
    let sizes = [built_in("small"), built_in("1x-medium")];
    plan(profile, settings, Target::Local, &sizes, 7)
}

fn refusal(profile: &Profile, settings: &Settings) -> String {
    planned(profile, settings)
        .expect_err("there must be no plan")
        .to_string()
}

/// The number of cores is the machine's.
fn without_cores(snapshot: impl FnOnce()) {
    insta::with_settings!({ filters => vec![(r"<= [\d.]+ cores", "<= [this machine's] cores")] }, {
        snapshot();
    });
}

#[test]
fn every_built_in_profile_has_this_plan() {
    insta::glob!("../profiles", "*.yaml", |path| {
        let profile = profile::load(path).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = planned(&profile, &Settings::default()).expect("a plan");
        without_cores(|| insta::assert_snapshot!("combined", render(&plan)));
    });
}

#[rstest]
#[case::ingestion(TestType::Ingestion)]
#[case::query(TestType::Query)]
fn a_plan_has_only_what_its_test_type_does(#[case] test_type: TestType) {
    let plan = planned(&built_in("1x-demo"), &of_type(test_type)).expect("a plan");
    without_cores(|| insta::assert_snapshot!(format!("1x_demo_{test_type}"), render(&plan)));
}

#[test]
fn variables_beat_size_and_size_beats_the_profile() {
    let profile = built_in("1x-demo");
    let sized = Settings {
        size: Some("1x-medium".into()),
        ..Settings::default()
    };
    let medium = built_in("1x-medium").k6;
    let plan = planned(&profile, &sized).expect("a plan");
    assert_eq!(plan.profile.k6, medium, "SIZE replaces the k6 section");
    assert_eq!(plan.profile.tempo, profile.tempo, "and nothing else");

    let all = Settings {
        mb_per_second: Some(ByteRate::from_mb_per_second(3.0)),
        queries_per_second: Some(EventRate::per_second(4.0)),
        vus_min: Some(6),
        vus_max: Some(7),
        trace_profile: Some(TraceProfile::Small),
        ..sized
    };
    let plan = planned(&profile, &all).expect("a plan");
    let mb = plan.ingestion.target_bytes_per_second.mb_per_second();
    assert!((mb - 3.0).abs() < 1e-9, "{mb} MB/s");
    assert_eq!(plan.query.queries_per_second.as_per_second(), 4.0);
    assert_eq!((plan.profile.k6.vus.min, plan.profile.k6.vus.max), (6, 7));
    assert_eq!(plan.ingestion.trace_profile, TraceProfile::Small);
}

#[rstest]
#[case::neither(None, None, 300)]
#[case::profile(None, Some(20), 20)]
#[case::variable(Some(30), None, 30)]
#[case::variable_over_profile(Some(30), Some(20), 30)]
fn duration_comes_from_the_variable_then_the_profile(
    #[case] variable: Option<u64>,
    #[case] given: Option<u64>,
    #[case] expected: u64,
) {
    let profile = changed("1x-demo", |profile| {
        profile.k6.duration = given.map(Duration::from_secs);
    });
    let settings = Settings {
        duration: variable.map(Duration::from_secs),
        ..Settings::default()
    };
    let plan = planned(&profile, &settings).expect("a plan");
    assert_eq!(plan.duration, Duration::from_secs(expected));
}

#[test]
fn size_keeps_the_duration_and_warm_up_of_the_case() {
    let profile = changed("1x-demo", |profile| {
        profile.k6.duration = Some(Duration::from_secs(40));
        profile.k6.warmup = Some(Duration::from_secs(3));
    });
    let settings = Settings {
        size: Some("small".into()),
        ..Settings::default()
    };
    let plan = planned(&profile, &settings).expect("a plan");
    assert_eq!(
        plan.window(),
        (Duration::from_secs(3), Duration::from_secs(43))
    );
}

#[rstest]
#[case::short(45, 30 * 60)]
#[case::long(25 * 60, 35 * 60)]
fn the_time_limit_leaves_ten_minutes_beside_the_load(#[case] duration: u64, #[case] limit: u64) {
    let settings = Settings {
        duration: Some(Duration::from_secs(duration)),
        ..Settings::default()
    };
    let plan = planned(&built_in("1x-demo"), &settings).expect("a plan");
    assert_eq!(plan.job_timeout, Duration::from_secs(limit));
    let limited = Settings {
        job_timeout: Some(Duration::from_secs(60)),
        ..settings
    };
    let plan = planned(&built_in("1x-demo"), &limited).expect("a plan");
    assert_eq!(
        plan.job_timeout,
        Duration::from_secs(60),
        "an explicit one counts"
    );
}

#[test]
fn what_cannot_be_planned_is_refused_with_what_would_be_right() {
    let short = Settings {
        duration: Some(Duration::from_secs(3)),
        ..Settings::default()
    };
    insta::assert_snapshot!(
        refusal(&built_in("1x-demo"), &short),
        @"DURATION: found 3s; the PromQL checks need at least 5s (5 scrapes)"
    );
    let profile = changed("1x-demo", |profile| {
        profile.k6.duration = Some(Duration::from_secs(4));
    });
    insta::assert_snapshot!(
        refusal(&profile, &Settings::default()),
        @"k6.duration: found 4s; the PromQL checks need at least 5s (5 scrapes)"
    );
    let users = Settings {
        vus_min: Some(6),
        ..Settings::default()
    };
    insta::assert_snapshot!(
        refusal(&built_in("1x-demo"), &users),
        @"VUS_MIN and VUS_MAX: found 6 and 5; the smaller must come first"
    );
    let size = Settings {
        size: Some("huge".into()),
        ..Settings::default()
    };
    insta::assert_snapshot!(
        refusal(&built_in("1x-demo"), &size),
        @r#"SIZE: found "huge"; expected the name of a profile in profiles: small, 1x-medium"#
    );
    let slow = Settings {
        queries_per_second: Some(EventRate::per_second(0.0001)),
        ..Settings::default()
    };
    let refused = planned(&built_in("1x-demo"), &slow).expect_err("k6 cannot hold it");
    assert!(
        matches!(refused, PlanError::Load(LoadError::TooSlow { .. })),
        "{refused}"
    );
}

#[test]
fn a_request_over_one_mib_is_refused_with_the_most_traces_that_fit() {
    let batched = |traces| {
        changed("xlarge", |profile| {
            profile.k6.ingestion.traces_per_request = Some(traces);
        })
    };
    let refused = planned(&batched(1000), &Settings::default()).expect_err("too large");
    let PlanError::Load(LoadError::RequestTooLarge { most, .. }) = refused else {
        panic!("{refused}");
    };
    let message = refused.to_string();
    assert!(
        message.starts_with(&format!(
            "k6.ingestion.tracesPerRequest: found 1000; expected at most {most}: 1000 xlarge \
             traces make requests of up to "
        )),
        "{message}"
    );
    let plan = planned(&batched(most), &Settings::default()).expect("the most that fits");
    assert_eq!(plan.ingestion.traces_per_request, most);
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

#[rstest]
#[case::query(TestType::Query, Target::Local, Some(30))]
#[case::combined(TestType::Combined, Target::Local, None)]
#[case::query_of_an_existing_tempo(TestType::Query, Target::Endpoint, None)]
fn a_query_test_first_ingests_something_to_find(
    #[case] test_type: TestType,
    #[case] target: Target,
    #[case] seconds: Option<u64>,
) {
    let settings = Settings {
        tempo_query_endpoint: Some("http://127.0.0.1:3200".parse().expect("a URL")),
        ..of_type(test_type)
    };
    let plan = plan(&built_in("1x-demo"), &settings, target, &[], 7).expect("a plan");
    assert_eq!(
        plan.seeding.map(|seeding| seeding.duration),
        seconds.map(Duration::from_secs)
    );
}

#[rstest]
#[case::nothing("1x-demo", Target::Kubernetes, &[])]
#[case::demo("1x-demo", Target::Local, &["storage"])]
#[case::pico("1x-pico", Target::Local, &["tempo.variant: stack", "tempo.replicationFactor", "storage"])]
#[case::existing("1x-pico", Target::Endpoint, &["tempo", "storage"])]
fn fields_that_a_target_cannot_honour_are_listed(
    #[case] name: &str,
    #[case] target: Target,
    #[case] expected: &[&str],
) {
    let settings = Settings {
        tempo_endpoint: Some("http://127.0.0.1:4318".parse().expect("a URL")),
        tempo_query_endpoint: Some("http://127.0.0.1:3200".parse().expect("a URL")),
        ..Settings::default()
    };
    let plan = plan(&built_in(name), &settings, target, &[], 7).expect("a plan");
    let fields: Vec<&str> = plan
        .not_applied
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(fields, expected);
}

/// The checks of `1x-demo` after a change of it.
fn checks_of(test_type: TestType, change: impl FnOnce(&mut Profile)) -> Vec<PlannedCheck> {
    checks::plan(&changed("1x-demo", change), test_type, 2)
}

fn thresholds(checks: &[PlannedCheck]) -> Vec<&str> {
    let of_k6 = |check: &&PlannedCheck| matches!(check.measure, Measure::Threshold { .. });
    checks
        .iter()
        .filter(of_k6)
        .map(|check| check.name.as_str())
        .collect()
}

fn slos(checks: &[PlannedCheck]) -> Vec<(&str, Option<f64>)> {
    let of_prometheus = |check: &&PlannedCheck| matches!(check.measure, Measure::PromQl { .. });
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
    let roles = |checks: &[PlannedCheck]| -> Vec<Role> {
        checks
            .iter()
            .filter_map(|check| match &check.measure {
                Measure::Threshold { role, metric, .. } if metric == "http_reqs" => Some(*role),
                _ => None,
            })
            .collect()
    };
    let both = checks_of(TestType::Combined, given);
    assert_eq!(roles(&both), [Role::Ingestion, Role::Query]);
    let one = checks_of(TestType::Query, given);
    assert_eq!(roles(&one), [Role::Query]);
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
        tempo_metrics: Err("no metrics".into()),
        collector_cpu: Err("no collector".into()),
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
