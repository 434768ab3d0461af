//! What a plan says of a cluster: where in it, with which storage and Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;
use tempo_perf::checks::Capabilities;
use tempo_perf::plan::{Plan, PlanError, plan, render};
use tempo_perf::profile::{Profile, Storage, StorageKind};
use tempo_perf::settings::{
    KubernetesSettings, Malformed, PrometheusChoice, Settings, StorageSettings, Target,
};

use super::{built_in, changed, planned};

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
