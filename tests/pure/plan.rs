//! Plans: every number resolved, every check known before the load.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rstest::rstest;
use tempo_perf::checks::{Capabilities, Measure, PlannedCheck, variable_values};
use tempo_perf::k6::Run;
use tempo_perf::k6::solve::LoadError;
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
    plan(profile, settings, Target::Local, 2, &sizes, 7)
}

fn refusal(profile: &Profile, settings: &Settings) -> String {
    planned(profile, settings)
        .expect_err("there must be no plan")
        .to_string()
}

#[test]
fn every_built_in_profile_has_this_plan() {
    insta::glob!("../../profiles", "*.yaml", |path| {
        let profile = profile::load(path).unwrap_or_else(|errors| panic!("{errors}"));
        let plan = planned(&profile, &Settings::default()).expect("a plan");
        insta::assert_snapshot!("combined", render(&plan));
    });
}

#[rstest]
#[case::ingestion(TestType::Ingestion)]
#[case::query(TestType::Query)]
fn a_plan_has_only_what_its_test_type_does(#[case] test_type: TestType) {
    let plan = planned(&built_in("1x-demo"), &of_type(test_type)).expect("a plan");
    insta::assert_snapshot!(format!("1x_demo_{test_type}"), render(&plan));
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
    let plan = plan(&built_in("1x-demo"), &settings, target, 2, &[], 7).expect("a plan");
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
#[case::stack_with_replicas("1x-pico", Target::Kubernetes, &[])]
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
    let plan = plan(&built_in(name), &settings, target, 2, &[], 7).expect("a plan");
    let fields: Vec<&str> = plan
        .not_applied
        .iter()
        .map(|it| it.field.as_str())
        .collect();
    assert_eq!(fields, expected);
}

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

mod kubernetes {
    use tempo_perf::profile::{Storage, StorageKind};
    use tempo_perf::settings::{KubernetesSettings, Malformed, PrometheusChoice, StorageSettings};

    use super::*;

    fn said(kubernetes: KubernetesSettings) -> Settings {
        Settings {
            kubernetes,
            ..Settings::default()
        }
    }

    fn stored(storage: StorageSettings) -> Settings {
        said(KubernetesSettings {
            storage,
            ..KubernetesSettings::default()
        })
    }

    fn scraped_by(prometheus: PrometheusChoice) -> Settings {
        said(KubernetesSettings {
            prometheus,
            ..KubernetesSettings::default()
        })
    }

    fn by_url() -> PrometheusChoice {
        PrometheusChoice::Url("https://prometheus.example.com/".parse().expect("a URL"))
    }

    fn on_kubernetes(profile: &Profile, settings: &Settings) -> Result<Plan, PlanError> {
        plan(profile, settings, Target::Kubernetes, 2, &[], 7)
    }

    fn s3() -> Storage {
        Storage {
            kind: StorageKind::S3,
            bucket: Some("traces".into()),
            region: Some("us-east-2".into()),
            ..Storage::default()
        }
    }

    /// The plan as `--dry-run` shows it, without checks; the first line of those
    /// on CPU follows.
    fn shown(plan: &Plan) -> String {
        let text = render(plan);
        let head: Vec<&str> = text
            .lines()
            .take_while(|line| !line.starts_with("  checks"))
            .collect();
        let cpu = text.lines().filter(|line| line.contains(" CPU"));
        head.into_iter().chain(cpu).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_plan_shows_where_in_the_cluster_and_with_what() {
        let plan = on_kubernetes(&built_in("1x-pico"), &Settings::default()).expect("a plan");
        insta::assert_snapshot!("kubernetes_defaults", shown(&plan));
    }

    #[test]
    fn a_plan_shows_all_that_settings_say() {
        let mut settings = said(KubernetesSettings {
            context: Some("kind-perf".into()),
            node_selector: Some(BTreeMap::from([
                ("disk".into(), "ssd".into()),
                ("node-role.kubernetes.io/infra".into(), String::new()),
            ])),
            namespace_prefix: "load-".into(),
            storage_class: Some("fast".into()),
            prometheus: by_url(),
            enable_user_workload_monitoring: true,
            storage: StorageSettings {
                kind: Some(StorageKind::S3),
                bucket: Some("traces".into()),
                endpoint: Some("https://s3.example.com".into()),
                secret_name: Some("keys".into()),
                region: None,
            },
            ..KubernetesSettings::default()
        });
        settings.kubernetes.images.collector = Some("registry.example.com/collector:1".into());
        let profile = changed("1x-demo", |profile| {
            profile.tempo.replication_factor = Some(2);
            profile.tempo.node_selector = BTreeMap::from([("disk".into(), "hdd".into())]);
        });
        let plan = on_kubernetes(&profile, &settings).expect("a plan");
        insta::assert_snapshot!("kubernetes_all", shown(&plan));
        assert_eq!(
            Some(&plan.profile.tempo.node_selector),
            settings.kubernetes.node_selector.as_ref(),
            "the plan's profile is what runs"
        );
        let json = serde_json::to_value(&plan).expect("JSON");
        insta::assert_json_snapshot!("kubernetes_json", json["kubernetes"]);
    }

    #[test]
    fn other_targets_have_no_such_part() {
        let plan = planned(&built_in("1x-demo"), &Settings::default()).expect("a plan");
        let json = serde_json::to_value(&plan).expect("JSON");
        assert_eq!(json.get("kubernetes"), None);
    }

    #[test]
    fn settings_beat_the_profile_s_storage_field_by_field() {
        let profile = changed("1x-demo", |profile| profile.storage = s3());
        let settings = stored(StorageSettings {
            region: Some("eu-west-1".into()),
            secret_name: Some("keys".into()),
            ..StorageSettings::default()
        });
        let plan = on_kubernetes(&profile, &settings).expect("a plan");
        let expected = Storage {
            region: Some("eu-west-1".into()),
            secret_name: Some("keys".into()),
            ..s3()
        };
        assert_eq!(plan.profile.storage, expected);
        assert!(plan.not_applied.is_empty());
    }

    #[test]
    fn another_type_of_storage_leaves_the_profile_s_fields_without_a_meaning() {
        let profile = changed("1x-demo", |profile| profile.storage = s3());
        let settings = stored(StorageSettings {
            kind: Some(StorageKind::Minio),
            ..StorageSettings::default()
        });
        let plan = on_kubernetes(&profile, &settings).expect("a plan");
        assert_eq!(plan.profile.storage, Storage::default());
        let lost: Vec<String> = plan
            .not_applied
            .iter()
            .map(|it| format!("{}: {}", it.field, it.reason))
            .collect();
        let why = "the type is minio by --storage-type or TEMPO_PERF_STORAGE_TYPE";
        assert_eq!(
            lost,
            [
                format!("storage.bucket: {why}"),
                format!("storage.region: {why}")
            ]
        );
    }

    #[rstest]
    #[case::nothing_but_the_type(
        StorageSettings { kind: Some(StorageKind::S3), ..StorageSettings::default() },
        "--storage-bucket or TEMPO_PERF_STORAGE_BUCKET: found nothing; expected the name of a \
         bucket that exists, as type is s3\n\
         --storage-region or TEMPO_PERF_STORAGE_REGION: found nothing; expected the region of \
         the bucket on AWS, for example us-east-2, or the endpoint of another store"
    )]
    #[case::fields_of_s3_for_minio(
        StorageSettings {
            bucket: Some("traces".into()),
            secret_name: Some("keys".into()),
            ..StorageSettings::default()
        },
        "--storage-bucket or TEMPO_PERF_STORAGE_BUCKET: found \"traces\"; expected it only with \
         --storage-type s3, or type: s3 in the profile\n\
         --storage-secret-name or TEMPO_PERF_STORAGE_SECRET_NAME: found \"keys\"; expected it \
         only with --storage-type s3, or type: s3 in the profile"
    )]
    fn storage_that_does_not_fit_is_refused_where_it_is_used(
        #[case] storage: StorageSettings,
        #[case] expected: &str,
    ) {
        let settings = stored(storage);
        let refused = on_kubernetes(&built_in("1x-demo"), &settings).expect_err("it does not fit");
        assert_eq!(refused.to_string(), expected);
        planned(&built_in("1x-demo"), &settings).expect("nothing is stored so on one machine");
    }

    #[rstest]
    #[case::s3(s3(), true)]
    #[case::s3_with_a_secret(Storage { secret_name: Some("keys".into()), ..s3() }, false)]
    #[case::minio(Storage::default(), false)]
    fn half_of_the_keys_is_refused_where_they_are_needed(
        #[case] storage: Storage,
        #[case] refused: bool,
    ) {
        let half = Malformed {
            source: "AWS_ACCESS_KEY_ID".into(),
            found: "a value".into(),
            expected: "both".into(),
        };
        let settings = said(KubernetesSettings {
            s3_credentials: Err(half.clone()),
            ..KubernetesSettings::default()
        });
        let profile = changed("1x-demo", |profile| profile.storage = storage);
        let message = on_kubernetes(&profile, &settings)
            .err()
            .map(|err| err.to_string());
        assert_eq!(message, refused.then(|| half.to_string()));
    }

    #[test]
    fn a_token_without_an_address_is_refused() {
        let token = |prometheus| {
            said(KubernetesSettings {
                prometheus,
                prometheus_token_file: Some("token".into()),
                ..KubernetesSettings::default()
            })
        };
        let refused = on_kubernetes(&built_in("1x-demo"), &token(PrometheusChoice::Own))
            .expect_err("nobody takes it");
        insta::assert_snapshot!(refused, @"--prometheus-token-file or TEMPO_PERF_PROMETHEUS_TOKEN_FILE: found a file, and no address to send its token to; expected the URL of that Prometheus in --prometheus or TEMPO_PERF_PROMETHEUS");
        on_kubernetes(&built_in("1x-demo"), &token(by_url())).expect("a plan");
    }

    #[rstest]
    #[case::auto(PrometheusChoice::Auto, 1)]
    #[case::own(PrometheusChoice::Own, 1)]
    #[case::somebody_s(by_url(), 30)]
    fn the_scrape_interval_follows_the_choice_of_prometheus(
        #[case] choice: PrometheusChoice,
        #[case] seconds: u64,
    ) {
        let plan = on_kubernetes(&built_in("1x-demo"), &scraped_by(choice)).expect("a plan");
        assert_eq!(plan.scrape_interval, Duration::from_secs(seconds));
    }

    #[test]
    fn a_load_too_short_for_somebody_s_prometheus_is_refused() {
        let minute = |prometheus| Settings {
            duration: Some(Duration::from_secs(60)),
            ..scraped_by(prometheus)
        };
        let refused = on_kubernetes(&built_in("1x-demo"), &minute(by_url()))
            .expect_err("five scrapes take longer");
        insta::assert_snapshot!(refused, @"DURATION: found 1m; the PromQL checks need at least 2m30s (5 scrapes)");

        let mut plan = on_kubernetes(&built_in("1x-demo"), &minute(PrometheusChoice::Auto))
            .expect("our own would scrape often enough");
        plan.settle_scrape_interval(Duration::from_secs(12))
            .expect("five scrapes fit");
        assert_eq!(plan.scrape_interval, Duration::from_secs(12));
        let refused = plan
            .settle_scrape_interval(Duration::from_secs(15))
            .expect_err("a scrape more");
        insta::assert_snapshot!(refused, @"DURATION: found 1m; the PromQL checks need at least 1m15s (5 scrapes)");
    }

    #[test]
    fn without_promql_checks_any_scrape_interval_will_do() {
        let profile = changed("1x-demo", |profile| profile.slos = Some(Vec::new()));
        let mut plan = on_kubernetes(&profile, &Settings::default()).expect("a plan");
        plan.settle_scrape_interval(Duration::from_secs(3600))
            .expect("nobody asks");
    }

    #[test]
    fn a_monolithic_has_no_replicas_there() {
        let profile = changed("1x-demo", |profile| {
            profile.tempo.replication_factor = Some(2);
        });
        let plan = on_kubernetes(&profile, &Settings::default()).expect("a plan");
        let reasons: Vec<&str> = plan
            .not_applied
            .iter()
            .map(|it| it.reason.as_str())
            .collect();
        assert_eq!(reasons, ["a monolithic Tempo has no replicas"]);
    }

    #[test]
    fn this_machine_s_cpu_says_nothing_and_the_limits_of_pods_count() {
        let mut plan = on_kubernetes(&built_in("1x-demo"), &Settings::default()).expect("a plan");
        plan.settle(&Capabilities {
            collector_metrics: String::new(),
            container_metrics: Ok(String::new()),
            tempo_metrics: Ok(String::new()),
            collector_cpu: Ok(()),
            k6_cores: Ok(Some(2.0)),
            collector_cores: Ok(Some(0.5)),
            visibility_delay: Duration::ZERO,
            readable_bytes: None,
            read_back: Ok(()),
            stand_in: None,
        });
        let of = |name: &str| {
            let found = plan.checks.iter().find(|check| check.name == name);
            found.expect("planned")
        };
        for name in ["k6 CPU, ingestion", "k6 CPU, query"] {
            assert_eq!(of(name).bound.max, Some(1.8), "{name}");
        }
        assert_eq!(of("collector CPU").bound.max, Some(0.45));
        assert_eq!(
            of("machine CPU").not_applicable.as_deref(),
            Some("the load does not run on this machine")
        );
        assert_eq!(of("components that ended").not_applicable, None);
    }
}
